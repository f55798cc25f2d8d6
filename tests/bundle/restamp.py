"""Functions that update the hashes and manifests of a bundle that a test has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgerec.bundle.files import stamp_files
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, write_manifest


def restamp(bundle: Path, **change: Any) -> None:
    """Write the bundle's manifest again, with new hashes. `change` gives new values for some of its fields."""
    manifest = read_bundle_manifest(bundle)
    files = [path for path in bundle.rglob("*") if path.is_file() and path != bundle / "manifest.json"]
    write_manifest(manifest.model_copy(update={"files": stamp_files(bundle, files), **change}), bundle)


def restamp_device(bundle: Path, **change: Any) -> None:
    """Write both manifests again, with new hashes. `change` gives new values for fields of the device's manifest."""
    folder = bundle / "device"
    files = stamp_files(folder, [*folder.glob("*.mnn"), *folder.glob("*.npz")])
    manifest = read_device_manifest(folder).model_copy(update={"files": files, **change})
    write_manifest(manifest, folder)
    restamp(bundle, models=manifest.models)
