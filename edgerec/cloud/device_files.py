"""The files that a device downloads for a version. They are in memory, so no request reads from the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerec.bundle.files import read_stamped
from edgerec.bundle.layout import DEVICE, NAME
from edgerec.bundle.manifest_file import read_bundle_manifest
from edgerec.bundle.signing import PublicKey, signature_path
from edgerec.bundle.whole import read_own_device_manifest, signatures
from edgerec.core.hashing import sha256_bytes
from edgerec.core.memory import enough_memory


@dataclass(frozen=True)
class DeviceFile:
    """A file of the device half: its bytes, and their SHA-256."""

    content: bytes
    sha256: str


@dataclass(frozen=True)
class DeviceFiles:
    """The files of a version's device half by path, such as `device/crban.mnn`. The manifest is the first."""

    version_id: str
    files: Mapping[str, DeviceFile]

    def offer(self) -> list[dict[str, Any]]:
        """Return path, size and hash of each file."""
        return [{"path": path, "bytes": len(file.content), "sha256": file.sha256} for path, file in self.files.items()]


def read_device_files(bundle: Path, *, public_key: PublicKey | None = None) -> DeviceFiles:
    """Read the files that the device manifest names, the manifest itself and its signature, and check their hashes.

    Raises:
        FormatError: the folder is not a whole bundle.
        IntegrityError: a file is missing or was changed.
        SignatureError: `public_key` is given, and a manifest is not signed by the key's owner.
        ResourceError: there is not enough memory.
    """
    manifest = read_bundle_manifest(bundle, public_key=public_key)
    device = read_own_device_manifest(bundle, manifest, public_key=public_key)
    head = f"{DEVICE}/{NAME}"
    paths = (head, *(f"{DEVICE}/{name}" for name in device.files))
    with enough_memory(bundle):
        contents = {path: read_stamped(bundle, path, manifest.files[path]) for path in paths}
    signature = signature_path(Path(head)).as_posix()
    contents |= {path: content for path, content in signatures(bundle).items() if path == signature}
    files = {path: DeviceFile(content, sha256_bytes(content)) for path, content in contents.items()}
    return DeviceFiles(manifest.version_id, files)
