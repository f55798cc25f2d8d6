"""Ed25519 signatures of manifests. With the public key, anybody can check that its owner signed a bundle.

The signature of a file is the file `<name>.sig` beside it. It has 64 bytes and follows RFC 8032 over the exact bytes of
the file, so other tools can make and check it too. It depends on the key and the bytes alone: equal files have equal
signatures.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerec.core.atomic import write_bytes
from edgerec.core.errors import InputError, MissingExtraError, SignatureError
from edgerec.core.hashing import sha256_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SUFFIX = ".sig"
SIGNATURE_BYTES, KEY_BYTES = 64, 32
_MAX_PEM = 64 * 1024
_PRIME = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _ORDER_8, _PRIME - _ORDER_8})
"""The y coordinates of all points of small order; 0 and 1 also in their second form, at the prime and above it.

The list is that of libsodium's `ge25519_has_small_order`. Under such a key, one signature is valid for many messages or
for all messages, and the package cryptography accepts it.
"""


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key.

    Attributes:
        raw: its 32 bytes.

    Raises:
        InputError: `raw` has not 32 bytes, or the key is of small order.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes) or len(self.raw) != KEY_BYTES:
            length = f"{len(self.raw)} bytes" if isinstance(self.raw, bytes) else type(self.raw).__name__
            raise InputError(f"an Ed25519 public key should be {KEY_BYTES} bytes. Received: {length}")
        if int.from_bytes(self.raw, "little") % 2**255 in _SMALL_ORDER:
            raise InputError(
                f"an Ed25519 public key should not be of small order. Received: {self.raw.hex()}, under which anybody "
                "can sign; take the key from the private key with openssl pkey -in KEY.pem -pubout"
            )

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the 32 bytes, which people can compare."""
        return sha256_bytes(self.raw)

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
                "another key; fetch the bundle again, or give the key of whoever exported it"
            ) from None


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 private key. `load_signing_key` reads it from a file."""

    _key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The public key that checks this key's signatures."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign_file(self, path: Path) -> None:
        """Write the signature of the file `path` beside it."""
        write_bytes(signature_path(path), self._key.sign(path.read_bytes()))


def check_signature(public_key: PublicKey, path: Path, content: bytes) -> None:
    """Call `public_key.check`, after a check that the caller passed a `PublicKey`.

    Raises:
        InputError: `public_key` is not a `PublicKey`.
        SignatureError: there is no signature, or it is not this key's signature of these bytes.
    """
    if not isinstance(public_key, PublicKey):
        raise InputError(
            "public_key should be a PublicKey, which edgerec.bundle.signing.load_public_key reads from a PEM file. "
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
            "sign_key should be a SigningKey, which edgerec.bundle.signing.load_signing_key reads from a PEM file. "
            f"Received: {type(key).__name__}"
        )


def signature_path(path: Path) -> Path:
    """Return the path of the signature of the file `path`."""
    return path.with_name(path.name + SUFFIX)


def load_signing_key(path: Path) -> SigningKey:
    """Read an Ed25519 private key, unencrypted PEM (PKCS 8), as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        InputError: there is no such file, it is not such a key, or the key is encrypted.
        MissingExtraError: cryptography is not installed.
    """
    _need()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _read_pem(path, "signing key")
    if b"PRIVATE KEY" not in pem and b"PUBLIC KEY" in pem:
        raise InputError(f"signing key {path} is a public key: give the private key that belongs to it")
    if b"ENCRYPTED" in pem:
        raise InputError(f"signing key {path} is encrypted: give it decrypted (openssl pkey -in {path} -out KEY.pem)")
    key = _parse(lambda: load_pem_private_key(pem, password=None), f"signing key {path}", _MAKE)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"signing key {path} should be Ed25519. Received: {type(key).__name__}; {_MAKE}")
    return SigningKey(key)


def load_public_key(path: Path) -> PublicKey:
    """Read an Ed25519 public key, PEM, as `openssl pkey -pubout` writes it.

    Raises:
        InputError: there is no such file, or it is not such a key.
        MissingExtraError: cryptography is not installed.
    """
    _need()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    pem = _read_pem(path, "public key")
    take = "take it from the private key with openssl pkey -in KEY.pem -pubout"
    if b"PRIVATE KEY" in pem:
        raise InputError(f"public key {path} is a private key, which does not belong on a device: {take}")
    key = _parse(lambda: load_pem_public_key(pem), f"public key {path}", take)
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"public key {path} should be Ed25519. Received: {type(key).__name__}; {take}")
    return PublicKey(key.public_bytes_raw())


_MAKE = "make one with openssl genpkey -algorithm ed25519 -out KEY.pem"


def _need() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtraError("cryptography is not installed: pip install 'edgerec[signing]'") from None


def _read_pem(path: Path, what: str) -> bytes:
    try:
        # Reading a pipe might wait for ever, and a device may have no end.
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise InputError(f"{what} {path} is no regular file: give a PEM file")
        with path.open("rb") as file:
            pem = file.read(_MAX_PEM + 1)
    except OSError as error:
        raise InputError(f"{what} {path}: {error.strerror}") from None
    if len(pem) > _MAX_PEM:
        raise InputError(f"{what} {path} is larger than any key: give a PEM file")
    blocks = pem.count(b"-----BEGIN ")
    if blocks > 1:
        raise InputError(f"{what} {path} holds {blocks} blocks of PEM: give a file with the one key that is meant")
    return pem


def _parse(load: Callable[[], Any], what: str, advice: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The parser's own message does not help, and might quote the key.
        raise InputError(f"{what} is no Ed25519 key in PEM: {advice}") from None


def _read_signature(path: Path) -> bytes:
    place = signature_path(path)
    if place.is_symlink() or not place.is_file():
        raise SignatureError(
            f"bundle: {path} is not signed, and a signature is required: export it with --sign-key, or fetch "
            f"{place.name} too"
        )
    try:
        with place.open("rb") as file:
            signature = file.read(SIGNATURE_BYTES + 1)
    except OSError as error:
        raise SignatureError(f"bundle: {place} cannot be read ({error.strerror}): fetch the bundle again") from None
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(f"bundle: {place} is no signature of {SIGNATURE_BYTES} bytes: fetch the bundle again")
    return signature
