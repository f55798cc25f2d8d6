"""A quick look at the folders that a server is given, before it listens and opens them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgerec.bundle.layout import CLOUD
from edgerec.bundle.manifest_file import read_bundle_manifest, read_cloud_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.cloud.version_list import read_versions
from edgerec.data.logs import read_head


def check_folders(
    bundles: Sequence[Path], catalogue: Path, versions: Path | None, *, public_key: PublicKey | None
) -> None:
    """Check that each folder is what it should be. Only the first file of each is read.

    Args:
        bundles: the bundles.
        catalogue: folder of logs.
        versions: a versions folder, or None.
        public_key: the bundles must have a signature of this key. None: no signature is checked.

    Raises:
        FormatError, IntegrityError, SignatureError: a folder does not exist, or is something else.
    """
    read_head(catalogue)
    for bundle in bundles:
        if not (bundle / CLOUD).is_dir():
            read_bundle_manifest(bundle)  # This error names the folder that the user gave.
        read_cloud_manifest(bundle / CLOUD, public_key=public_key)
    if versions is not None:
        read_versions(versions)
