"""Functions that write, read and sign the three `manifest.json` files of a bundle.

Each manifest contains the SHA-256 digest of its own bytes. While it is computed, the field `digest` contains zeros.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgerec.bundle.files import refuse_link
from edgerec.bundle.layout import NAME, part_folders
from edgerec.bundle.manifest import FORMAT, BundleManifest, CloudManifest, DeviceManifest, Manifest
from edgerec.bundle.signing import PublicKey, SigningKey, check_signature, check_signing_key, signature_path
from edgerec.core.atomic import json_bytes, write_bytes
from edgerec.core.documents import document_bytes, parse_document
from edgerec.core.errors import FormatError, IntegrityError
from edgerec.core.hashing import sha256_bytes

# The digest is a field at the top level of the document, so it is indented by two spaces. Strings in JSON contain no
# line breaks, so nothing else matches.
_DIGEST = re.compile(rb'\n  "digest": "([0-9a-f]{64})"')


def write_manifest(manifest: BundleManifest | CloudManifest | DeviceManifest, folder: Path) -> None:
    """Write `manifest.json` into `folder`, with its digest."""
    unsealed = json_bytes({**manifest.model_dump(mode="json"), "digest": "0" * 64})
    write_bytes(folder / NAME, _DIGEST.sub(_digest_line(sha256_bytes(unsealed)), unsealed))


def read_bundle_manifest(bundle: Path, *, public_key: PublicKey | None = None) -> BundleManifest:
    """Read `manifest.json` of a bundle.

    Args:
        bundle: the bundle's folder.
        public_key: the manifest must have a signature of this key. If None, no signature is checked.

    Raises:
        FormatError: the folder is not a bundle, it has another format number, or a field is not valid.
        IntegrityError: the manifest was changed after it was written.
        SignatureError: `public_key` is given, and the manifest is not signed by the key's owner.
    """
    return _read(bundle, BundleManifest, what="bundle", public_key=public_key)


def read_cloud_manifest(folder: Path, *, public_key: PublicKey | None = None) -> CloudManifest:
    """Read `manifest.json` of a bundle's cloud folder.

    Raises:
        FormatError, IntegrityError, SignatureError: as for `read_bundle_manifest`.
    """
    return _read(folder, CloudManifest, what="cloud bundle", public_key=public_key)


def read_device_manifest(folder: Path, *, public_key: PublicKey | None = None) -> DeviceManifest:
    """Read `manifest.json` of a bundle's device folder.

    Raises:
        FormatError, IntegrityError, SignatureError: as for `read_bundle_manifest`.
    """
    manifest = _read(folder, DeviceManifest, what="device bundle", public_key=public_key)
    unstamped = [model.file for model in manifest.models.values() if model.file not in manifest.files]
    if unstamped:
        raise FormatError(
            f"device bundle: {folder / NAME} should list the hash of {unstamped[0]}, but it does not: export the "
            "bundle again"
        )
    return manifest


def sign_bundle(bundle: Path, key: SigningKey) -> None:
    """Sign the three manifests of the folder `bundle`. Each manifest has the hashes of all files in its folder."""
    check_signing_key(key)
    for folder in part_folders(bundle).values():
        key.sign_file(folder / NAME)


def signed_parts(bundle: Path) -> dict[str, bool]:
    """Return whether the manifests of `bundle`, `device` and `cloud` have a signature of any key."""
    return {part: signature_path(folder / NAME).is_file() for part, folder in part_folders(bundle).items()}


def _read(folder: Path, model: type[Manifest], *, what: str, public_key: PublicKey | None) -> Manifest:
    path = folder / NAME
    refuse_link(path)
    # The file is read once: the bytes that are parsed are the bytes whose signature was checked.
    content = document_bytes(path, what=what)
    if public_key is not None:
        check_signature(public_key, path, content)
    try:
        manifest = parse_document(content, path=path, model=model, what=what, format_number=FORMAT)
    except FormatError as error:
        if _DIGEST.search(content):
            _check_digest(path, content)
            raise FormatError(f"{error}: give the folder of a whole bundle, or export it again") from None
        raise
    _check_digest(path, content)
    return manifest


def _check_digest(path: Path, content: bytes) -> None:
    """Check that no byte of the manifest was changed."""
    found = _DIGEST.findall(content)
    unsealed = _DIGEST.sub(_digest_line("0" * 64), content)
    if len(found) != 1 or found[0].decode() != sha256_bytes(unsealed):
        raise IntegrityError(f"bundle: {path} was changed after it was written: fetch or export the bundle again")


def _digest_line(digest: str) -> bytes:
    return f'\n  "digest": "{digest}"'.encode()
