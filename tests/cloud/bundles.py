"""Bundles that have only their cloud half."""

from __future__ import annotations

from pathlib import Path

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
