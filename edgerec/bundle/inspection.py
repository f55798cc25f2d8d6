"""Describe a bundle: its sizes, the commands that MNN runs, its tables, and the results and tools of its export."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from edgerec.bundle.layout import CLOUD, DEVICE, GOLDEN, NAME
from edgerec.bundle.load import check_cloud, load_checked
from edgerec.bundle.manifest import BundleManifest, ModelFile
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, signed_parts
from edgerec.bundle.model_checks import sessions_of
from edgerec.bundle.signing import PublicKey
from edgerec.core.errors import FormatError
from edgerec.core.paths import to_path
from edgerec.device_runtime.session import Session

_RASTER = re.compile(r"_raster_\d+$")
"""The suffix that MNN adds to an operation's name for each command that copies its operands."""


def inspect_bundle(bundle: Path, *, public_key: PublicKey | None = None) -> dict[str, Any]:
    """Describe the folder `bundle`. The models are checked and run once. Tables and golden cases are not read.

    Args:
        bundle: the folder.
        public_key: each manifest must have a signature of this key. If None, no signature is checked.

    Returns:
        `version_id`, `created`, `serial`, `precision`, `signature`, `sizes` (part -> bytes), `device_bytes`,
        `cloud_bytes`, `limits`, `models`, `tables`, `parity`, `gauc`, `precisions`, `tools`;
        with rules of a mixed feed also `mixing`; with the head of personal patches also `personal`.

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: as for `load_bundle`.
    """
    bundle = to_path(bundle, "bundle")
    manifest = read_bundle_manifest(bundle, public_key=public_key)
    model = load_checked(bundle, manifest, public_key=public_key)
    device = read_device_manifest(bundle / DEVICE, public_key=public_key)
    check_cloud(bundle, manifest, public_key=public_key)
    sessions = sessions_of(model)
    parts = signed_parts(bundle)
    return {
        "version_id": manifest.version_id,
        "created": manifest.created,
        "serial": device.serial,
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
        **({} if device.mixing is None else {"mixing": device.mixing.document()}),
        **({} if model.personal is None else {"personal": model.personal.document()}),
        "tools": manifest.tools,
    }


def _model(session: Session, manifest: BundleManifest, stated: ModelFile) -> dict[str, Any]:
    stamp = manifest.files.get(f"{DEVICE}/{stated.file}")
    if stamp is None:
        raise FormatError(
            f"bundle: {NAME} should list the hash of {stated.file}, but it does not: export the bundle again"
        )
    commands = session.commands()
    types = Counter(command for command, _ in commands)
    return {
        "file": stated.file,
        "bytes": stamp.size,
        "operations": len({_RASTER.sub("", name) for _, name in commands}),
        "commands": len(commands),
        "ops": dict(sorted(types.items())),
        "inputs": {name: list(shape) for name, shape in session.inputs.items()},
        "outputs": {name: list(shape) for name, shape in session.outputs.items()},
    }
