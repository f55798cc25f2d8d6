"""A bundle proves itself on this machine: every hash, every table, every golden case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgerec.core.errors import FormatError, ParityError
from edgerec.core.manifest import CLOUD, DEVICE, BundleManifest, read_cloud_manifest
from edgerec.device_runtime.device_model import open_bundle
from edgerec.device_runtime.golden import case_names, run_named
from edgerec.kv.npz import open_tables


def verify_bundle(bundle: Path) -> dict[str, Any]:
    """Check the folder `bundle` and run its golden cases.

    Returns:
        `version_id`, `precision`, `files`, `device_bytes`, `cloud_bytes`, `golden_cases`, `parity_max_abs`,
        `tolerance`.

    Raises:
        FormatError: no bundle, another format number, a part that does not fit the manifest.
        IntegrityError: a file is missing or was changed.
        SessionError: MNN cannot load a model.
        ParityError: this machine's scores differ from the trained model's by more than the tolerance.
    """
    manifest, model = open_bundle(bundle)
    _check_tables(bundle, manifest)
    cases = case_names(bundle, manifest)
    worst = 0.0
    for name in cases:
        case, logits = run_named(model, bundle, name)
        difference = np.abs(logits - case.logits)
        at = int(difference.argmax())
        if not difference[at] <= manifest.parity.tolerance:
            raise ParityError(
                f"bundle: {name}: candidate {at} scores {logits[at]:.7g} here and {case.logits[at]:.7g} in training, "
                f"more than {manifest.parity.tolerance:g} apart: this machine computes something else"
            )
        worst = max(worst, float(difference[at]))
    return {
        "version_id": manifest.version_id,
        "precision": manifest.precision,
        "files": len(manifest.files),
        "device_bytes": manifest.bytes_under(DEVICE),
        "cloud_bytes": manifest.bytes_under(CLOUD),
        "golden_cases": len(cases),
        "parity_max_abs": worst,
        "tolerance": manifest.parity.tolerance,
    }


def _check_tables(bundle: Path, manifest: BundleManifest) -> None:
    cloud = read_cloud_manifest(bundle / CLOUD)
    if (cloud.version_id, cloud.spec, cloud.tables) != (manifest.version_id, manifest.spec, manifest.tables):
        raise FormatError(
            f"bundle: {bundle / CLOUD} holds tables of version {cloud.version_id}, not of {manifest.version_id}: "
            "export it again"
        )
    # Hashes were checked with the bundle's.
    open_tables(bundle / CLOUD, check=False)
