"""Bundles that have only their cloud half, and whole bundles with models that cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgerec.bundle.files import stamp_files
from edgerec.bundle.manifest import DEVICE_MODELS, BundleManifest, DeviceManifest, ModelFile, Parity
from edgerec.bundle.manifest_file import read_cloud_manifest, write_manifest
from edgerec.features.behaviours import Limits
from edgerec.features.spec import FeatureSpec
from edgerec.kv.npz import Table
from tests.kv.tables import make, write_cloud
from tests.synthetic import SPEC_WITH_RELATIONS

SHOPS = range(3, 15)
"""The keys of the table. The shops of the catalogue are 1 to 19."""


def table(version_id: str) -> Table:
    """Return the table of shops of a version."""
    return make(SHOPS, width=4, seed=len(version_id))


def write_bundle(path: Path, version_id: str, spec: FeatureSpec = SPEC_WITH_RELATIONS) -> Path:
    """Write the cloud half of a bundle to `path` and return `path`."""
    document = spec.model_dump(mode="json", exclude_none=True)
    write_cloud(path / "cloud", {"shop": table(version_id)}, version_id=version_id, spec=document)
    return path


def write_whole(path: Path, version_id: str, spec: FeatureSpec = SPEC_WITH_RELATIONS, *, note: str = "a") -> Path:
    """Write a whole bundle to `path` and return `path`. Its models are random bytes, which a server never loads.

    `note` becomes part of the manifest only.
    """
    write_bundle(path, version_id, spec)
    document = spec.model_dump(mode="json", exclude_none=True)
    models = {}
    for number, name in enumerate(DEVICE_MODELS):
        (path / "device").mkdir(exist_ok=True)
        content = np.random.default_rng([len(version_id), number]).bytes(5_000 + number)
        (path / "device" / f"{name}.mnn").write_bytes(content)
        models[name] = ModelFile(file=f"{name}.mnn", inputs={"x": (1, 2)}, outputs={"y": (1,)})
    stamps = stamp_files(path / "device", (path / "device").glob("*.mnn"))
    limits = dict.fromkeys(Limits.model_fields, 20)
    head = {"version_id": version_id, "precision": "fp32", "spec": document, "models": models}
    write_manifest(DeviceManifest(files=stamps, limits=limits, **head), path / "device")
    (path / "golden").mkdir(exist_ok=True)
    (path / "golden" / "case-00.npz").write_bytes(b"not read by a server")
    write_manifest(
        BundleManifest(
            created="2026-01-01T00:00:00Z",
            config={"note": note},
            tables=read_cloud_manifest(path / "cloud").tables,
            parity=Parity(max_abs_error=0, tolerance=0.1, checks={}, requests=0, orders_equal=0),
            gauc={"keras": None, "mnn": None},
            tools={},
            files=stamp_files(path, (file for file in path.rglob("*") if file.is_file())),
            **head,
        ),
        path,
    )
    return path
