from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.bundle.signing import (
    PublicKey,
    SigningKey,
    check_signature,
    check_signing_key,
    load_public_key,
    load_signing_key,
    signature_path,
)
from edgerec.core.errors import InputError, SignatureError

# The example "TEST 3" of RFC 8032, section 7.1.
SECRET = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
PUBLIC = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
MESSAGE = bytes.fromhex("af82")
SIGNATURE = bytes.fromhex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def private_pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    return key.private_bytes(*form, serialization.NoEncryption())


def public_pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
OTHER = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.json"
    path.write_bytes(MESSAGE)
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    load_signing_key(tmp_path / "key.pem").sign_file(path)
    return path


def test_a_signature_equals_the_example_of_rfc_8032(signed: Path) -> None:
    assert signature_path(signed).name == "manifest.json.sig"
    assert signature_path(signed).read_bytes() == SIGNATURE
    PublicKey(PUBLIC).check(signed, MESSAGE)
    assert SigningKey(KEY).public == PublicKey(PUBLIC)


def test_keys_are_loaded_from_pem(tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_bytes(public_pem(KEY))
    assert load_public_key(tmp_path / "public.pem") == PublicKey(PUBLIC)
    assert pickle.loads(pickle.dumps(PublicKey(PUBLIC))) == PublicKey(PUBLIC)
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    key = load_signing_key(tmp_path / "key.pem")
    assert key.public.raw == PUBLIC
    assert SECRET.hex() not in repr(key)
    assert "object" not in repr(key)


@settings(max_examples=100)
@given(at=st.integers(0, 63), bit=st.integers(0, 7))
def test_a_signature_with_a_changed_bit_is_refused(tmp_path: Path, at: int, bit: int) -> None:
    path = tmp_path / "manifest.json"
    changed = bytearray(SIGNATURE)
    changed[at] ^= 1 << bit
    signature_path(path).write_bytes(changed)
    with pytest.raises(SignatureError, match="not what the owner of the given public key signed"):
        PublicKey(PUBLIC).check(path, MESSAGE)


def test_a_missing_or_wrong_signature_is_refused(signed: Path, tmp_path: Path) -> None:
    beside = signature_path(signed)
    with pytest.raises(SignatureError, match="not what the owner"):
        PublicKey(PUBLIC).check(signed, MESSAGE + b"\n")
    with pytest.raises(SignatureError, match="not what the owner"):
        PublicKey(bytes(31) + b"\x07").check(signed, MESSAGE)
    for content in (b"", SIGNATURE[:-1], SIGNATURE + b"\n", SIGNATURE.hex().encode()):
        beside.write_bytes(content)
        with pytest.raises(SignatureError, match="should be a signature of 64 bytes"):
            PublicKey(PUBLIC).check(signed, MESSAGE)
    beside.unlink()
    with pytest.raises(SignatureError, match="is not signed"):
        PublicKey(PUBLIC).check(signed, MESSAGE)
    (tmp_path / "elsewhere").write_bytes(SIGNATURE)
    beside.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SignatureError, match="is not signed"):
        PublicKey(PUBLIC).check(signed, MESSAGE)


@pytest.mark.parametrize("raw", [b"", PUBLIC[:-1], PUBLIC + b"\x00", PUBLIC.hex(), None])
def test_a_public_key_that_does_not_have_32_bytes_is_an_error(raw: object) -> None:
    with pytest.raises(InputError, match="should be 32 bytes"):
        PublicKey(raw)  # type: ignore[arg-type]


ENCRYPTED = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"secret"),
)
INVALID_SIGNING_KEYS = {
    "a public key": (public_pem(KEY), "should be a private key. Received: a public key"),
    "encrypted": (ENCRYPTED, "should not be encrypted"),
    "another kind": (private_pem(OTHER), "should be Ed25519"),
    "cut": (private_pem(KEY)[:60], "is not an Ed25519 key in PEM"),
    "bytes": (SECRET, "is not an Ed25519 key in PEM"),
    "empty": (b"", "is not an Ed25519 key in PEM"),
    "text": (b"-----BEGIN PRIVATE KEY-----\nhello\n-----END PRIVATE KEY-----\n", "is not an Ed25519 key in PEM"),
    "huge": (b"-" * 100_000, "should have at most 65536 bytes"),
    "two keys": (
        private_pem(KEY) + private_pem(KEY),
        "should have one PEM block. Received: 2; give a file with only one key",
    ),
    "both keys": (private_pem(KEY) + public_pem(KEY), "should have one PEM block. Received: 2"),
}
INVALID_PUBLIC_KEYS = {
    "a private key": (private_pem(KEY), "must not be on a device"),
    "another kind": (public_pem(OTHER), "should be Ed25519"),
    "cut": (public_pem(KEY)[:60], "is not an Ed25519 key in PEM"),
    "empty": (b"", "is not an Ed25519 key in PEM"),
    "text": (b"-----BEGIN PUBLIC KEY-----\nhello\n-----END PUBLIC KEY-----\n", "is not an Ed25519 key in PEM"),
    "huge": (b"-" * 100_000, "should have at most 65536 bytes"),
    "two keys": (
        public_pem(KEY) + public_pem(KEY),
        "should have one PEM block. Received: 2; give a file with only one key",
    ),
    "another kind after it": (public_pem(KEY) + public_pem(OTHER), "should have one PEM block. Received: 2"),
}


@pytest.mark.parametrize("fault", INVALID_SIGNING_KEYS)
def test_an_invalid_signing_key_is_an_error_of_one_line(tmp_path: Path, fault: str) -> None:
    content, said = INVALID_SIGNING_KEYS[fault]
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        load_signing_key(tmp_path / "key.pem")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", INVALID_PUBLIC_KEYS)
def test_an_invalid_public_key_is_an_error_of_one_line(tmp_path: Path, fault: str) -> None:
    content, said = INVALID_PUBLIC_KEYS[fault]
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        load_public_key(tmp_path / "key.pem")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [load_signing_key, load_public_key])
def test_a_pipe_or_a_device_is_an_error_and_does_not_block(tmp_path: Path, load: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with ThreadPoolExecutor(1) as threads:
            loading = threads.submit(load, path)
            try:
                with pytest.raises(InputError, match="is not a regular file"):
                    loading.result(timeout=1200)
            finally:
                # If the thread still waits for the pipe, opening the pipe ends the wait.
                os.close(os.open(tmp_path / "pipe", os.O_RDWR))


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(one: Point, other: Point) -> Point:
    """Return the sum of two points of the curve (RFC 8032, section 5.1.4), in affine coordinates."""
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def points(y: int) -> set[Point]:
    """Return the points with this y coordinate (RFC 8032, section 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    roots = {root, root * pow(2, (P - 1) // 4, P) % P}
    return {(sign * x % P, y) for x in roots for sign in (1, -1) if (x * x - square) % P == 0}


def times(count: int, point: Point) -> Point:
    """Return `point` multiplied by `count`."""
    total = (0, 1)
    for bit in bin(count)[2:]:
        total = add(total, total)
        total = add(total, point) if bit == "1" else total
    return total


def small_points() -> set[Point]:
    """Return all points whose order divides eight: the multiples of a point of order eight."""
    order = 2**252 + 27742317777372353535851937790883648493
    some = (times(order, point) for y in range(2, 40) for point in points(y))
    generator = next(point for point in some if times(4, point) != (0, 1))
    return {times(count, generator) for count in range(8)}


def encodings(y: int) -> set[bytes]:
    """Return all encodings of `y` as 32 bytes: with either sign of x, and also of y + P if it fits into 255 bits."""
    return {(value | sign << 255).to_bytes(32, "little") for value in (y, y + P) if value < 2**255 for sign in (0, 1)}


def test_public_keys_of_small_order_are_refused() -> None:
    """If a public key has a small order, one signature is valid for many messages."""
    small = small_points()
    assert len(small) == 8
    for raw in set().union(*(encodings(y) for _, y in small)):
        with pytest.raises(InputError, match="small order"):
            PublicKey(raw)
    for _, y in points(4 * pow(5, -1, P) % P):
        # The base point and its negative have a large order, so they are accepted.
        assert {PublicKey(raw).raw for raw in encodings(y)} == encodings(y)


def test_a_signature_that_is_valid_for_every_message_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    neutral = (1).to_bytes(32, "little")
    signature_path(path).write_bytes(neutral + bytes(32))
    # The package cryptography itself accepts this signature for any message.
    ed25519.Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"any message")
    with pytest.raises(InputError, match="small order"):
        PublicKey(neutral).check(path, b"any message")


@pytest.mark.parametrize("key", [PUBLIC, PUBLIC.hex(), Path("public.pem"), False, ed25519.Ed25519PublicKey])
def test_a_public_key_of_another_type_is_an_error(signed: Path, key: Any) -> None:
    with pytest.raises(InputError, match=r"public_key should be a PublicKey.*load_public_key.*Received: \w+$"):
        check_signature(key, signed, MESSAGE)


@pytest.mark.parametrize("key", [SECRET, Path("key.pem"), KEY])
def test_a_signing_key_of_another_type_is_an_error(tmp_path: Path, key: Any) -> None:
    with pytest.raises(InputError, match=r"sign_key should be a SigningKey.*load_signing_key.*Received: \w+$"):
        check_signing_key(key)


def test_a_missing_key_file_is_an_error(tmp_path: Path) -> None:
    for load in (load_signing_key, load_public_key):
        with pytest.raises(InputError, match="No such file"):
            load(tmp_path / "key.pem")
        with pytest.raises(InputError, match="Is a directory"):
            load(tmp_path)


@settings(max_examples=200)
@given(content=st.binary(max_size=200), at=st.integers(0, 200), kind=st.booleans())
def test_a_damaged_key_file_gives_a_key_or_an_input_error(tmp_path: Path, content: bytes, at: int, kind: bool) -> None:
    pem = private_pem(KEY) if kind else public_pem(KEY)
    (tmp_path / "key.pem").write_bytes(pem[:at] + content + pem[at + 1 :])
    for load in (load_signing_key, load_public_key):
        try:
            load(tmp_path / "key.pem")
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - whatever is raised has to be one line


def test_without_cryptography_the_error_names_the_extra(signed: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path\n"
        "from edgerec.core.errors import MissingExtraError\n"
        "from edgerec.bundle.signing import PublicKey, load_public_key, load_signing_key\n"
        "path, key = Path(sys.argv[1]), PublicKey(bytes(31) + bytes([7]))\n"
        "for call in (load_public_key, load_signing_key, lambda path: key.check(path, b'')):\n"
        "    try: call(path)\n"
        "    except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(signed)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["cryptography is not installed: run pip install 'edgerec[signing]'"] * 3


@pytest.mark.parametrize("load", [load_public_key, load_signing_key])
def test_a_missing_file_is_named_before_a_missing_package(
    load: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(InputError, match=r"nosuch cannot be read \(No such file or directory\)"):
        load(tmp_path / "nosuch")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl, from the package openssl")
def test_openssl_makes_keys_and_checks_signatures(tmp_path: Path) -> None:
    """Run the commands that the docs show."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, check=True)

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
    path = tmp_path / "manifest.json"
    path.write_bytes(b"{}\n")
    load_signing_key(tmp_path / "key.pem").sign_file(path)
    ours = signature_path(path).read_bytes()
    load_public_key(tmp_path / "public.pem").check(path, path.read_bytes())
    checked = ("-rawin", "-pubin", "-inkey", "public.pem", "-in", "manifest.json", "-sigfile", "manifest.json.sig")
    openssl("pkeyutl", "-verify", *checked)
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "manifest.json", "-out", "manifest.json.sig")
    assert signature_path(path).read_bytes() == ours
