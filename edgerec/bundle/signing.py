"""Ed25519 signatures of manifests. With the public key, anybody can check that its owner signed a bundle.

The signature of a file is in the file `<name>.sig` beside it. It signs the exact bytes of the file (RFC 8032) and has
64 bytes, so other tools can make and check it too. It depends only on the key and these bytes, so equal files have
equal signatures.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerec.core.atomic import write_bytes
from edgerec.core.errors import InputError, MissingExtraError, SignatureError, not_installed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SUFFIX = ".sig"
SIGNATURE_BYTES, KEY_BYTES = 64, 32
_MAX_PEM = 64 * 1024
_PRIME = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _ORDER_8, _PRIME - _ORDER_8})
"""The y coordinates of all points of small order. 0 and 1 have a second form, to which the prime is added.

The list is that of libsodium's `ge25519_has_small_order`. Under such a key, one signature is valid for many messages or
for all messages, and the package cryptography accepts it.
"""


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key.

    Attributes:
        raw: its 32 bytes.

    Raises:
        InputError: `raw` does not have 32 bytes, or the key is a point of small order.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes) or len(self.raw) != KEY_BYTES:
            length = f"{len(self.raw)} bytes" if isinstance(self.raw, bytes) else type(self.raw).__name__
            raise InputError(f"an Ed25519 public key should be {KEY_BYTES} bytes. Received: {length}")
        if int.from_bytes(self.raw, "little") % 2**255 in _SMALL_ORDER:
            raise InputError(
                "an Ed25519 public key should not be of small order, because anybody can sign for such a key. "
                f"Received: {self.raw.hex()}; make the key from the private key with openssl pkey -in KEY.pem -pubout"
            )

    def check(self, path: Path, content: bytes) -> None:
        """Check that the signature beside `path` is this key's signature of `content`, the bytes read from `path`.

        Raises:
            SignatureError: there is no signature, or it is not this key's signature of these bytes.
            MissingExtraError: cryptography is not installed.
        """
        _need()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        signature = _read_signature(path)
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, content)
        except InvalidSignature:
            raise SignatureError(
                f"bundle: {path} is not what the owner of the given public key signed: it was changed, or signed with "
                "another key; fetch the bundle again, or give the public key of the exporter"
            ) from None


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 private key. `load_signing_key` loads it from a file."""

    _key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The public key that checks this key's signatures."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign_file(self, path: Path) -> None:
        """Sign the file `path` and write the signature to a file beside it."""
        write_bytes(signature_path(path), self._key.sign(path.read_bytes()))


def check_signature(public_key: PublicKey, path: Path, content: bytes) -> None:
    """Check that `public_key` is a `PublicKey`, and then check the signature of `path` with it (`PublicKey.check`).

    Raises:
        InputError: `public_key` is not a `PublicKey`.
        SignatureError: there is no signature, or it is not this key's signature of these bytes.
    """
    if not isinstance(public_key, PublicKey):
        raise InputError(
            "public_key should be a PublicKey, which edgerec.bundle.signing.load_public_key loads from a PEM file. "
            f"Received: {type(public_key).__name__}"
        )
    public_key.check(path, content)


def check_signing_key(key: SigningKey) -> None:
    """Check that `key` is a `SigningKey`.

    Raises:
        InputError: `key` is not a `SigningKey`.
    """
    if not isinstance(key, SigningKey):
        raise InputError(
            "sign_key should be a SigningKey, which edgerec.bundle.signing.load_signing_key loads from a PEM file. "
            f"Received: {type(key).__name__}"
        )


def signature_path(path: Path) -> Path:
    """Return the path of the signature of the file `path`."""
    return path.with_name(path.name + SUFFIX)


def load_signing_key(path: Path) -> SigningKey:
    """Load an Ed25519 private key from an unencrypted PEM file (PKCS 8).

    `openssl genpkey -algorithm ed25519` writes such a file.

    Raises:
        InputError: the file does not exist, it does not contain such a key, or the key is encrypted.
        MissingExtraError: cryptography is not installed.
    """
    pem = _read_pem(path, "signing key")
    _need()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"PRIVATE KEY" not in pem and b"PUBLIC KEY" in pem:
        raise InputError(f"signing key {path} should be a private key. Received: a public key; give its private key")
    if b"ENCRYPTED" in pem:
        raise InputError(
            f"signing key {path} should not be encrypted: decrypt it with openssl pkey -in {path} -out KEY.pem"
        )
    key = _parse(lambda: load_pem_private_key(pem, password=None), f"signing key {path}", _MAKE)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"signing key {path} should be Ed25519. Received: {type(key).__name__}; {_MAKE}")
    return SigningKey(key)


def load_public_key(path: Path) -> PublicKey:
    """Load an Ed25519 public key from a PEM file. `openssl pkey -pubout` writes such a file.

    Raises:
        InputError: the file does not exist, or it does not contain such a key.
        MissingExtraError: cryptography is not installed.
    """
    pem = _read_pem(path, "public key")
    _need()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    take = "make a public key from the private key with openssl pkey -in KEY.pem -pubout"
    if b"PRIVATE KEY" in pem:
        raise InputError(f"public key {path} is a private key, which must not be on a device: {take}")
    key = _parse(lambda: load_pem_public_key(pem), f"public key {path}", take)
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"public key {path} should be Ed25519. Received: {type(key).__name__}; {take}")
    return PublicKey(key.public_bytes_raw())


_MAKE = "make one with openssl genpkey -algorithm ed25519 -out KEY.pem"


def _need() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtraError(not_installed("cryptography", "signing")) from None


def _read_pem(path: Path, what: str) -> bytes:
    try:
        # Reading a pipe may wait forever, and reading a device may never end.
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise InputError(f"{what} {path} is not a regular file: give a PEM file")
        with path.open("rb") as file:
            pem = file.read(_MAX_PEM + 1)
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}): give a PEM file") from None
    if len(pem) > _MAX_PEM:
        raise InputError(
            f"{what} {path} should have at most {_MAX_PEM} bytes. Received: a larger file; give a PEM file"
        )
    blocks = pem.count(b"-----BEGIN ")
    if blocks > 1:
        raise InputError(f"{what} {path} should have one PEM block. Received: {blocks}; give a file with only one key")
    return pem


def _parse(load: Callable[[], Any], what: str, advice: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The parser's own message does not help, and it might quote the key.
        raise InputError(f"{what} is not an Ed25519 key in PEM: {advice}") from None


def _read_signature(path: Path) -> bytes:
    beside = signature_path(path)
    if beside.is_symlink() or not beside.is_file():
        raise SignatureError(
            f"bundle: {path} is not signed, but a signature is required: export the bundle with --sign-key, or fetch "
            f"{beside.name} too"
        )
    try:
        with beside.open("rb") as file:
            signature = file.read(SIGNATURE_BYTES + 1)
    except OSError as error:
        raise SignatureError(f"bundle: {beside} cannot be read ({error.strerror}): fetch the bundle again") from None
    if len(signature) != SIGNATURE_BYTES:
        received = f"{len(signature)} bytes" if len(signature) < SIGNATURE_BYTES else "more bytes"
        raise SignatureError(
            f"bundle: {beside} should be a signature of {SIGNATURE_BYTES} bytes; received {received}: fetch the bundle "
            "again"
        )
    return signature
