"""Check and copy a whole bundle. This needs no MNN, so a server can do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgerec.bundle.files import check_files, refuse_link
from edgerec.bundle.layout import CLOUD, DEVICE, NAME, part_folders
from edgerec.bundle.manifest import BundleManifest, DeviceManifest
from edgerec.bundle.manifest_file import read_bundle_manifest, read_cloud_manifest, read_device_manifest
from edgerec.bundle.signing import SIGNATURE_BYTES, PublicKey, signature_path
from edgerec.bundle.tables import open_tables
from edgerec.core.atomic import sync
from edgerec.core.errors import FormatError, SpecificationError
from edgerec.core.hashing import FileStamp
from edgerec.features.spec import parse_spec


def check_whole(bundle: Path, *, public_key: PublicKey | None = None) -> BundleManifest:
    """Check every file of a bundle and all numbers of its tables, and that its three manifests belong together.

    No model is loaded: `edgerec verify` runs them.

    Raises:
        FormatError: the folder is not a whole bundle, or its parts do not belong together.
        IntegrityError: a file is missing or was changed.
        SignatureError: `public_key` is given, and a manifest is not signed by the key's owner.
        ResourceError: there is not enough memory.
    """
    manifest = read_bundle_manifest(bundle, public_key=public_key)
    check_files(bundle, manifest.files)
    read_own_device_manifest(bundle, manifest, public_key=public_key)
    refuse_link(bundle / CLOUD)
    cloud = read_cloud_manifest(bundle / CLOUD, public_key=public_key)
    same = (cloud.version_id, cloud.spec, cloud.tables) == (manifest.version_id, manifest.spec, manifest.tables)
    if not same or not _lists(manifest, CLOUD, cloud.files):
        raise _other(bundle / CLOUD, manifest, cloud.version_id)
    try:
        parse_spec(json.dumps(manifest.spec), where="manifest.json")
    except SpecificationError as error:
        raise FormatError(f"bundle: {bundle}: {error}: export the bundle again") from None
    open_tables(bundle / CLOUD, check=False, public_key=public_key)
    return manifest


def read_own_device_manifest(
    bundle: Path, manifest: BundleManifest, *, public_key: PublicKey | None = None
) -> DeviceManifest:
    """Read the manifest of a bundle's device half, and check that it belongs to `manifest`.

    Raises:
        FormatError: it belongs to another version or precision, or is not valid.
        IntegrityError, SignatureError: as for `read_device_manifest`.
    """
    refuse_link(bundle / DEVICE)
    device = read_device_manifest(bundle / DEVICE, public_key=public_key)
    expected = (manifest.version_id, manifest.precision, manifest.spec, manifest.models)
    same = (device.version_id, device.precision, device.spec, device.models) == expected
    if not same or not _lists(manifest, DEVICE, device.files):
        raise _other(bundle / DEVICE, manifest, device.version_id)
    return device


def copy_bundle(bundle: Path, manifest: BundleManifest, target: Path) -> None:
    """Copy the files of a bundle, its manifests and their signatures to the folder `target`, durably.

    Other files in the bundle's folder are left out.

    Raises:
        OSError: a file cannot be read or written.
    """
    folders = {target}
    for name in (*manifest.files, NAME, *signatures(bundle)):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle / name, copy, follow_symlinks=False)
        sync(copy)
        folders.add(copy.parent)
    for folder in folders:
        sync(folder)


def signatures(bundle: Path) -> dict[str, bytes]:
    """Return the signatures of the manifests of a bundle by path. A bundle that is not signed has none.

    Raises:
        OSError: a signature cannot be read.
    """
    found = {}
    for folder in part_folders(bundle).values():
        path = signature_path(folder / NAME)
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found[path.relative_to(bundle).as_posix()] = file.read(SIGNATURE_BYTES + 1)
    return found


def _lists(manifest: BundleManifest, half: str, files: Mapping[str, FileStamp]) -> bool:
    """Return whether the manifest of the bundle lists the manifest of a half, and all of its files alike."""
    alike = all(manifest.files.get(f"{half}/{name}") == stamp for name, stamp in files.items())
    return f"{half}/{NAME}" in manifest.files and alike


def _other(folder: Path, manifest: BundleManifest, received: str) -> FormatError:
    return FormatError(
        f"bundle: {folder} should belong to version {manifest.version_id} ({manifest.precision}); received another "
        f"export, of version {received}: export the bundle again"
    )
