"""What is in a bundle: sizes by part, what MNN runs, tables, the figures of its export, the tools that took part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from edgerec.bundle.layout import CLOUD, DEVICE, GOLDEN, NAME
from edgerec.bundle.load import check_cloud, load_checked
from edgerec.bundle.manifest import CRBAN, PRECISIONS, BundleManifest, ModelFile
from edgerec.bundle.manifest_file import read_bundle_manifest, signed_parts
from edgerec.bundle.signing import PublicKey
from edgerec.core.console import show, table_of
from edgerec.core.errors import FormatError
from edgerec.core.paths import as_path
from edgerec.device_runtime.session import Session

_MOVES = re.compile(r"_raster_\d+$")
"""What MNN puts behind an operation's name for each command that moves its operands into place."""


def inspect_bundle(bundle: Path, *, public_key: PublicKey | None = None) -> dict[str, Any]:
    """Describe the folder `bundle`; its models are checked and run once, its other files are not read.

    Args:
        bundle: the folder.
        public_key: whose signature all three manifests have to bear; None asks for none.

    Returns:
        `version_id`, `created`, `precision`, `signature`, `sizes` (part -> bytes), `device_bytes`, `cloud_bytes`,
        `limits`, `models`, `tables`, `parity`, `gauc`, `precisions`, `tools`.

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: as `open_bundle`.
    """
    bundle = as_path(bundle, "bundle")
    manifest = read_bundle_manifest(bundle, public_key=public_key)
    model = load_checked(bundle, manifest, public_key=public_key)
    check_cloud(bundle, manifest, public_key=public_key)
    sessions = {CRBAN: model.crban.session, **{name: one.session for name, one in model.steppers.items()}}
    parts = signed_parts(bundle)
    return {
        "version_id": manifest.version_id,
        "created": manifest.created,
        "precision": manifest.precision,
        "signature": {
            "signed": all(parts.values()),
            "parts": parts,
            "checked": public_key is not None,
        },
        "sizes": {
            **{part: manifest.bytes_under(part) for part in (DEVICE, CLOUD, GOLDEN)},
            NAME: (bundle / NAME).stat().st_size,
        },
        "device_bytes": manifest.bytes_under(DEVICE),
        "cloud_bytes": manifest.bytes_under(CLOUD),
        "limits": model.limits.model_dump(),
        "models": {name: _model(sessions[name], manifest, stated) for name, stated in manifest.models.items()},
        "tables": {
            name: {**entry.model_dump(), "bytes": manifest.bytes_under(f"{CLOUD}/embeddings/{name}")}
            for name, entry in manifest.tables.items()
        },
        "parity": manifest.parity.model_dump(),
        "gauc": manifest.gauc,
        "precisions": {name: row.model_dump() for name, row in manifest.precisions.items()},
        "tools": manifest.tools,
    }


def _model(session: Session, manifest: BundleManifest, stated: ModelFile) -> dict[str, Any]:
    stamp = manifest.files.get(f"{DEVICE}/{stated.file}")
    if stamp is None:
        raise FormatError(f"bundle: {NAME} names {stated.file} without its hash: export again")
    commands = session.commands()
    kinds = Counter(kind for kind, _ in commands)
    return {
        "file": stated.file,
        "bytes": stamp.size,
        "operations": len({_MOVES.sub("", name) for _, name in commands}),
        "commands": len(commands),
        "ops": dict(sorted(kinds.items())),
        "inputs": {name: list(shape) for name, shape in session.inputs.items()},
        "outputs": {name: list(shape) for name, shape in session.outputs.items()},
    }


def inspection_table(document: Mapping[str, Any]) -> Group:
    """The document of `inspect_bundle` as tables."""
    models, tables, parity = document["models"], document["tables"], document["parity"]
    gauc = document["gauc"]
    head = [
        ("version", document["version_id"]),
        ("created", document["created"]),
        ("precision", document["precision"]),
        ("signature", signature_text(document["signature"])),
        ("limits", ", ".join(f"{count} {name.replace('_', '-')}" for name, count in document["limits"].items())),
        ("parity", f"{show(parity['max_abs_error'])} at most on logits (tolerance {_tolerance_text(parity)})"),
        ("orders", f"{parity['orders_equal']:,} of {parity['requests']:,} requests ranked alike"),
        ("GAUC", f"Keras {show(gauc.get('keras'))}, MNN {show(gauc.get('mnn'))}"),
    ]
    sizes = [(part, show(size), "") for part, size in document["sizes"].items()]
    ops = [(name, kind, show(count)) for name, model in models.items() for kind, count in model["ops"].items()]
    shapes = [
        (name, side, f"{key} {tuple(shape)}")
        for name, model in models.items()
        for side, entries in (("in", model["inputs"]), ("out", model["outputs"]))
        for key, shape in entries.items()
    ]
    columns = ("table", "keys", "dimension", "type", "shards", "bytes")
    fields = ("keys", "dimension", "dtype", "shards", "bytes")
    return Group(
        table_of(("", ""), head, header=False),
        "",
        table_of(("part", "bytes", ""), sizes),
        "",
        table_of(
            ("model", "bytes", "operations", "commands"),
            [
                (name, *(show(model[key]) for key in ("bytes", "operations", "commands")))
                for name, model in models.items()
            ],
        ),
        "",
        table_of(("model", "command", "times"), ops),
        "",
        table_of(("model", "side", "shape"), shapes),
        "",
        table_of(columns, [(name, *(show(entry[key]) for key in fields)) for name, entry in tables.items()]),
        "",
        *((precision_table(document["precisions"]), "") if document["precisions"] else ()),
        table_of(("tool", "version"), sorted(document["tools"].items())),
    )


def precision_table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """The precisions that an export weighed up, with latencies where they are known."""
    names = {
        "device_bytes": "device bytes",
        "drift": "drift of logits",
        "gauc_difference": "GAUC difference",
        "rerank_p50_us": "re-rank p50 us",
        "step_p50_us": "step p50 us",
    }
    known = [key for key in names if all(row.get(key) is not None for row in rows.values())]
    cells = [(name, *(show(rows[name][key]) for key in known)) for name in PRECISIONS if name in rows]
    return table_of(("precision", *(names[key] for key in known)), cells)


def _tolerance_text(parity: Mapping[str, Any]) -> str:
    relative = parity["relative_tolerance"]
    return f"{parity['tolerance']:g}" + (f", and {relative:g} of a logit" if relative else "")


def signature_text(signature: Mapping[str, Any]) -> str:
    """The state of a bundle's signatures in words."""
    parts = [part for part, signed in signature["parts"].items() if signed]
    if not parts:
        return "not signed"
    if signature["checked"]:
        return "valid"
    return f"signed ({', '.join(parts)}); not checked: give --public-key"
