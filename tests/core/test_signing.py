from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import InputError, SignatureError
from edgerec.core.signing import PublicKey, SigningKey, load_public_key, load_signing_key, signature_path

# RFC 8032, section 7.1, test 3.
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


def test_the_signature_of_the_standard(signed: Path) -> None:
    assert signature_path(signed).name == "manifest.json.sig"
    assert signature_path(signed).read_bytes() == SIGNATURE
    PublicKey(PUBLIC).check(signed, MESSAGE)
    assert SigningKey(KEY).public == PublicKey(PUBLIC)


def test_keys_from_pem(tmp_path: Path) -> None:
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
def test_any_other_signature_is_refused(tmp_path: Path, at: int, bit: int) -> None:
    path = tmp_path / "manifest.json"
    changed = bytearray(SIGNATURE)
    changed[at] ^= 1 << bit
    signature_path(path).write_bytes(changed)
    with pytest.raises(SignatureError, match="not what the owner of the given public key signed"):
        PublicKey(PUBLIC).check(path, MESSAGE)


def test_what_is_not_signed_so_is_refused(signed: Path, tmp_path: Path) -> None:
    place = signature_path(signed)
    with pytest.raises(SignatureError, match="not what the owner"):
        PublicKey(PUBLIC).check(signed, MESSAGE + b"\n")
    with pytest.raises(SignatureError, match="not what the owner"):
        PublicKey(bytes(31) + b"\x07").check(signed, MESSAGE)
    for content in (b"", SIGNATURE[:-1], SIGNATURE + b"\n", SIGNATURE.hex().encode()):
        place.write_bytes(content)
        with pytest.raises(SignatureError, match="no signature of 64 bytes"):
            PublicKey(PUBLIC).check(signed, MESSAGE)
    place.unlink()
    with pytest.raises(SignatureError, match="is not signed"):
        PublicKey(PUBLIC).check(signed, MESSAGE)
    (tmp_path / "elsewhere").write_bytes(SIGNATURE)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SignatureError, match="is not signed"):
        PublicKey(PUBLIC).check(signed, MESSAGE)


@pytest.mark.parametrize("raw", [b"", PUBLIC[:-1], PUBLIC + b"\x00", PUBLIC.hex(), None])
def test_public_keys_have_32_bytes(raw: object) -> None:
    with pytest.raises(InputError, match="should be 32 bytes"):
        PublicKey(raw)  # type: ignore[arg-type]


ENCRYPTED = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"secret"),
)
NO_KEYS = {
    "a public key": (public_pem(KEY), "is a public key: give the private"),
    "encrypted": (ENCRYPTED, "is encrypted"),
    "another kind": (private_pem(OTHER), "should be Ed25519"),
    "cut": (private_pem(KEY)[:60], "no Ed25519 key in PEM"),
    "bytes": (SECRET, "no Ed25519 key in PEM"),
    "empty": (b"", "no Ed25519 key in PEM"),
    "text": (b"-----BEGIN PRIVATE KEY-----\nhello\n-----END PRIVATE KEY-----\n", "no Ed25519 key in PEM"),
    "huge": (b"-" * 100_000, "larger than any key"),
}
NO_PUBLIC_KEYS = {
    "a private key": (private_pem(KEY), "does not belong on a device"),
    "another kind": (public_pem(OTHER), "should be Ed25519"),
    "cut": (public_pem(KEY)[:60], "no Ed25519 key in PEM"),
    "empty": (b"", "no Ed25519 key in PEM"),
    "text": (b"-----BEGIN PUBLIC KEY-----\nhello\n-----END PUBLIC KEY-----\n", "no Ed25519 key in PEM"),
    "huge": (b"-" * 100_000, "larger than any key"),
}


@pytest.mark.parametrize("fault", NO_KEYS)
def test_no_signing_key_in_one_line(tmp_path: Path, fault: str) -> None:
    content, said = NO_KEYS[fault]
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        load_signing_key(tmp_path / "key.pem")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", NO_PUBLIC_KEYS)
def test_no_public_key_in_one_line(tmp_path: Path, fault: str) -> None:
    content, said = NO_PUBLIC_KEYS[fault]
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        load_public_key(tmp_path / "key.pem")
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    for load in (load_signing_key, load_public_key):
        with pytest.raises(InputError, match="No such file"):
            load(tmp_path / "key.pem")
        with pytest.raises(InputError, match="Is a directory"):
            load(tmp_path)


@settings(max_examples=200)
@given(content=st.binary(max_size=200), at=st.integers(0, 200), kind=st.booleans())
def test_any_file_is_a_key_or_an_input_error(tmp_path: Path, content: bytes, at: int, kind: bool) -> None:
    pem = private_pem(KEY) if kind else public_pem(KEY)
    (tmp_path / "key.pem").write_bytes(pem[:at] + content + pem[at + 1 :])
    for load in (load_signing_key, load_public_key):
        try:
            load(tmp_path / "key.pem")
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - whatever is raised has to be one line


def test_without_the_package_the_extra_is_named(signed: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path\n"
        "from edgerec.core.errors import MissingExtraError\n"
        "from edgerec.core.signing import PublicKey, load_public_key, load_signing_key\n"
        "path = Path(sys.argv[1])\n"
        "for call in (load_public_key, load_signing_key, lambda path: PublicKey(bytes(32)).check(path, b'')):\n"
        "    try: call(path)\n"
        "    except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(signed)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["cryptography is not installed: pip install 'edgerec[signing]'"] * 3


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl(1), of the package openssl")
def test_openssl_makes_keys_and_checks_signatures(tmp_path: Path) -> None:
    """The commands of the docs."""

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
