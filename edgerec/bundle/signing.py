"""Ed25519 signatures of manifests: whoever holds the public key can tell its owner's bundles from all others.

A signature stands beside its file as `<name>.sig`: 64 bytes, those of RFC 8032 over the exact bytes of the file, so
that other tools can make and check it, too. It depends on key and bytes alone: equal files have equal signatures.
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
"""The y of all points of small order, with 0 and 1 also written beyond the prime.

These are the ones of libsodium's `ge25519_has_small_order`. Under such a key, one signature is valid for many messages
or for all, and cryptography takes it.
"""


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key.

    Attributes:
        raw: its 32 bytes.

    Raises:
        InputError: there are not 32 of them, or the key is of small order.
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
        """Hexadecimal SHA-256 of the 32 bytes, for people to compare."""
        return sha256_bytes(self.raw)

    def check(self, path: Path, content: bytes) -> None:
        """Refuse `content`, the bytes read from `path`, unless the signature beside it is this key's.

        Raises:
            SignatureError: there is no signature, or it is not this key's over these bytes.
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
    """An Ed25519 private key; `load_signing_key` reads one."""

    _key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The key that checks what this one signs."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign_file(self, path: Path) -> None:
        """Write the signature of the file `path` beside it."""
        write_bytes(signature_path(path), self._key.sign(path.read_bytes()))


def check_signature(public_key: PublicKey, path: Path, content: bytes) -> None:
    """`PublicKey.check` for a key that a caller gave.

    Raises:
        InputError: `public_key` is something else.
        SignatureError: there is no signature, or it is not this key's over these bytes.
    """
    if not isinstance(public_key, PublicKey):
        raise InputError(
            "public_key should be a PublicKey, which edgerec.bundle.signing.load_public_key reads from a PEM file. "
            f"Received: {type(public_key).__name__}"
        )
    public_key.check(path, content)


def check_signing_key(key: SigningKey) -> None:
    """Refuse anything else as a key to sign with.

    Raises:
        InputError: `key` is something else.
    """
    if not isinstance(key, SigningKey):
        raise InputError(
            "sign_key should be a SigningKey, which edgerec.bundle.signing.load_signing_key reads from a PEM file. "
            f"Received: {type(key).__name__}"
        )


def signature_path(path: Path) -> Path:
    """Where the signature of the file `path` stands."""
    return path.with_name(path.name + SUFFIX)


def load_signing_key(path: Path) -> SigningKey:
    """Read an Ed25519 private key, unencrypted PEM (PKCS 8), as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        InputError: no such file, no such key, or it is encrypted.
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
        InputError: no such file, or no such key.
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
        # A pipe would be waited for, and a device may have no end.
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
        # What the parser says of a damaged key helps nobody, and might quote it.
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
