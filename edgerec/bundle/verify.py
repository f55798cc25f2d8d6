"""Verify a bundle on this machine: check all hashes and tables, and run all golden cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgerec.bundle.golden import GoldenCase, case_names, raw_case_names, run_named
from edgerec.bundle.layout import CLOUD, DEVICE
from edgerec.bundle.load import check_cloud, load_bundle
from edgerec.bundle.manifest import BundleManifest
from edgerec.bundle.manifest_file import signed_parts
from edgerec.bundle.raw_cases import check_raw, read_raw
from edgerec.bundle.signing import PublicKey
from edgerec.bundle.tables import open_tables
from edgerec.core.errors import FormatError, ParityError
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.tolerance import absolute_difference
from edgerec.device_runtime.ranker import Scored
from edgerec.kv.npz import NpzTables
from edgerec.kv.shard_writer import shard_name


def verify_bundle(bundle: AnyPath, *, public_key: PublicKey | None = None) -> dict[str, Any]:
    """Check all files of the folder `bundle`, and run its golden cases.

    A damaged model can crash the process. If others can change the bundle, call this function through `guard.guarded`.

    Args:
        bundle: the folder.
        public_key: each manifest must have a signature of this key. If None, no signature is checked.

    Returns:
        `version_id`, `precision`, `signature` (``"valid"``; without a key ``"not checked"`` or ``"not signed"``),
        `files`,
        `device_bytes`, `cloud_bytes`, `golden_cases`, `raw_values` (``"valid"``, or ``"not checked"`` for a bundle of
        an earlier version, which has no raw values), `raw_cases` (golden cases that start from raw values),
        `raw_rows` and `raw_features` (the vectors that this machine encoded from raw values with the same bytes as
        training, and the features in them), `parity_max_abs`, `tolerance`, `relative_tolerance`.

    Raises:
        FormatError: the folder is not a bundle, it has another format number, or a part does not fit the manifest.
        IntegrityError: a file is missing or was changed.
        SignatureError: `public_key` is given, and a manifest is not signed by the key's owner.
        SessionError: MNN cannot load a model.
        ParityError: this machine's scores differ from the trained model's by more than the tolerance, or it encodes raw
            values as other vectors.
    """
    bundle = to_path(bundle, "bundle")
    manifest, model = load_bundle(bundle, public_key=public_key)
    tables = _check_tables(bundle, manifest, public_key)
    cases, raw_cases = case_names(bundle, manifest), raw_case_names(manifest)
    worst, raw_rows = 0.0, 0
    for name in (*cases, *raw_cases):
        case, scored = run_named(model, bundle, name)
        logits = scored.logits
        index = manifest.parity.allowed.worst_index(logits, case.logits)
        if index is not None:
            raise ParityError(
                f"bundle: {name}: candidate {index} should score {case.logits[index]:.7g}, as in training, with a "
                f"difference of at most {manifest.parity.allowed.allowed(case.logits)[index]:.2g}; received "
                f"{logits[index]:.7g}: do not use the bundle on this machine"
            )
        worst = max(worst, float(absolute_difference(logits, case.logits).max()))
        worst = max(worst, _check_hidden(manifest, scored, case, name))
        if name in raw_cases:
            raw_rows += check_raw(model, tables, read_raw(bundle / name), case, name=name)
    return {
        "version_id": manifest.version_id,
        "precision": manifest.precision,
        "signature": _signature(bundle, public_key),
        "files": len(manifest.files),
        "device_bytes": manifest.bytes_under(DEVICE),
        "cloud_bytes": manifest.bytes_under(CLOUD),
        "golden_cases": len(cases),
        "raw_values": "valid" if raw_cases else "not checked",
        "raw_cases": len(raw_cases),
        "raw_rows": raw_rows,
        "raw_features": sum(map(len, model.spec.groups.values())) if raw_cases else 0,
        "parity_max_abs": worst,
        "tolerance": manifest.parity.tolerance,
        "relative_tolerance": manifest.parity.relative_tolerance,
    }


def _check_hidden(manifest: BundleManifest, scored: Scored, case: GoldenCase, name: str) -> float:
    """Return the largest difference of a number of the hidden layer; 0 if the model does not return it.

    Raises:
        ParityError: the difference is above the tolerance.
    """
    if case.hidden is None or scored.hidden is None:
        return 0.0
    expected, received = case.hidden.reshape(-1), scored.hidden.reshape(-1)
    index = manifest.parity.allowed.worst_index(received, expected)
    if index is not None:
        raise ParityError(
            f"bundle: {name}: number {index % case.hidden.shape[1]} of the hidden layer of candidate "
            f"{index // case.hidden.shape[1]} should be {expected[index]:.7g}, as in training, with a difference of at "
            f"most {manifest.parity.allowed.allowed(expected)[index]:.2g}; received {received[index]:.7g}: do not use "
            "the bundle on this machine"
        )
    return float(absolute_difference(received, expected).max())


def _signature(bundle: Path, public_key: PublicKey | None) -> str:
    if public_key is not None:
        return "valid"
    return "not checked" if any(signed_parts(bundle).values()) else "not signed"


def _check_tables(bundle: Path, manifest: BundleManifest, public_key: PublicKey | None) -> NpzTables:
    check_cloud(bundle, manifest, public_key=public_key)
    for name, entry in manifest.tables.items():
        _check_shards(bundle, manifest, name, entry.shards)
    # `load_bundle` has already checked the hashes.
    return open_tables(bundle / CLOUD, check=False)


def _check_shards(bundle: Path, manifest: BundleManifest, name: str, shards: int) -> None:
    """Check that the manifest has the hashes of all shards of a table, and of no other file in the table's folder."""
    folder = f"{CLOUD}/embeddings/{name}"
    stated = {path for path in manifest.files if path.startswith(folder + "/")}
    if stated != {f"{folder}/{shard_name(number, shards)}" for number in range(shards)}:
        raise FormatError(
            f"bundle: the manifest of {bundle} should have the hashes of the {shards} shards of table {name}; "
            f"received {len(stated)} files: export the bundle again"
        )
