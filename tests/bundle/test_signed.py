"""Signed bundles: a device that requires a signature accepts only bundles signed with the right key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgerec.bundle import load
from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest_file import (
    read_bundle_manifest,
    read_cloud_manifest,
    sign_bundle,
    signed_parts,
    write_manifest,
)
from edgerec.bundle.signing import PublicKey, SigningKey
from edgerec.bundle.tables import open_tables
from edgerec.bundle.verify import verify_bundle
from edgerec.core.errors import EdgeRecError, FormatError, InputError, IntegrityError, SignatureError
from tests.bench.in_this_process import bench_here
from tests.bundle.restamp import restamp, restamp_device

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
MANIFESTS = ("manifest.json", "device/manifest.json", "cloud/manifest.json")


@pytest.fixture
def signed(bundle_path: Path, tmp_path: Path) -> Path:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    sign_bundle(bundle, KEY)
    return bundle


def test_a_signed_bundle_loads_with_and_without_a_public_key(signed: Path, bundle_path: Path) -> None:
    assert verify_bundle(signed, public_key=KEY.public)["signature"] == "valid"
    found, expected = load_device_model(signed, public_key=KEY.public), load_device_model(bundle_path)
    assert (found.version_id, found.spec, found.limits) == (expected.version_id, expected.spec, expected.limits)
    # Without a public key, a signed bundle is read as an unsigned one.
    unsigned = verify_bundle(bundle_path)
    assert unsigned["signature"] == "not signed"
    assert verify_bundle(signed) == {**unsigned, "signature": "not checked"}
    assert signed_parts(signed) == {"bundle": True, "device": True, "cloud": True}
    for name in MANIFESTS:
        assert (signed / name).read_bytes() == (bundle_path / name).read_bytes()


def test_bench_can_require_a_signature(signed: Path, bundle_path: Path) -> None:
    assert bench_here("rerank", signed, rounds=1, public_key=KEY.public)["results"]
    with pytest.raises(SignatureError, match="not what the owner"):
        bench_here("rerank", signed, rounds=1, public_key=OTHER.public)
    with pytest.raises(SignatureError):
        bench_here("step", bundle_path, rounds=1, public_key=KEY.public)


def test_equal_manifests_have_equal_signatures(signed: Path) -> None:
    before = {name: (signed / f"{name}.sig").read_bytes() for name in MANIFESTS}
    sign_bundle(signed, KEY)
    assert {name: (signed / f"{name}.sig").read_bytes() for name in MANIFESTS} == before
    assert len(set(before.values())) == 3


def test_the_device_half_can_be_checked_without_the_rest(signed: Path, tmp_path: Path) -> None:
    shutil.copytree(signed / "device", tmp_path / "phone" / "device")
    load_device_model(tmp_path / "phone", public_key=KEY.public)
    with pytest.raises(SignatureError, match="not what the owner"):
        load_device_model(tmp_path / "phone", public_key=OTHER.public)


def _flip_signature(bundle: Path) -> None:
    for name in MANIFESTS:
        path = bundle / f"{name}.sig"
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def _exchange_signatures(bundle: Path) -> None:
    one, other = bundle / "manifest.json.sig", bundle / "device" / "manifest.json.sig"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _unsigned(bundle: Path) -> None:
    for name in MANIFESTS:
        (bundle / f"{name}.sig").unlink()


def _forged(bundle: Path) -> None:
    model = bundle / "device" / "crban.mnn"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    restamp_device(bundle)


FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "not signed": (_unsigned, "is not signed"),
    "signed with another key": (lambda bundle: sign_bundle(bundle, OTHER), "not what the owner"),
    "a changed signature": (_flip_signature, "not what the owner"),
    "exchanged signatures": (_exchange_signatures, "not what the owner"),
    "a changed model with a matching hash": (_forged, "not what the owner"),
    "another version": (lambda bundle: restamp_device(bundle, version_id="20250101000000-000000000000"), "the owner"),
    "not even JSON": (lambda bundle: [(bundle / name).write_bytes(b"{") for name in MANIFESTS], "the owner"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_bundle_is_refused_before_it_reaches_mnn(
    signed: Path, forgery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, said = FORGERIES[forgery]
    change(signed)

    def never(*_: object) -> None:
        raise AssertionError("the forged bundle reached MNN")

    monkeypatch.setattr(load, "HubsmStepper", never)
    monkeypatch.setattr(load, "DeviceRanker", never)
    for read in (load_device_model, verify_bundle):
        with pytest.raises(SignatureError, match=said) as caught:
            read(signed, public_key=KEY.public)
        assert "\n" not in str(caught.value)


def test_each_manifest_needs_a_signature(signed: Path) -> None:
    for name in MANIFESTS:
        path = signed / f"{name}.sig"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(SignatureError, match="is not signed"):
            verify_bundle(signed, public_key=KEY.public)
        path.write_bytes(content)
    verify_bundle(signed, public_key=KEY.public)


def test_a_changed_file_of_a_signed_bundle_is_refused(signed: Path) -> None:
    shard = sorted((signed / "cloud" / "embeddings" / "shop").iterdir())[-1].relative_to(signed)
    for name in ("device/hubsm_ie.mnn", str(shard), "golden/case-03.npz"):
        content = (signed / name).read_bytes()
        (signed / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(IntegrityError, match="was changed after it was written"):
            verify_bundle(signed, public_key=KEY.public)
        (signed / name).write_bytes(content)


@pytest.fixture
def other_cloud(signed: Path) -> Path:
    """Return a bundle whose cloud half has another version than its device half. The same owner signed both halves."""
    cloud = signed / "cloud"
    write_manifest(read_cloud_manifest(cloud).model_copy(update={"version_id": "20250101000000-000000000000"}), cloud)
    KEY.sign_file(cloud / "manifest.json")
    return signed


@pytest.mark.parametrize("key", [None, KEY.public])
def test_device_and_cloud_halves_of_different_versions_are_an_error(other_cloud: Path, key: PublicKey | None) -> None:
    with pytest.raises(FormatError, match="received those of version 20250101000000-000000000000"):
        inspect_bundle(other_cloud, public_key=key)
    # `verify_bundle` checks hashes before versions. So the test first updates the hashes of the cloud half.
    for signature in other_cloud.rglob("*.sig"):
        signature.unlink()
    restamp(other_cloud)
    sign_bundle(other_cloud, KEY)
    for read in (inspect_bundle, verify_bundle):
        with pytest.raises(FormatError, match="received those of version 20250101000000-000000000000"):
            read(other_cloud, public_key=key)


def test_open_tables_can_require_a_signature(signed: Path, bundle_path: Path, tmp_path: Path) -> None:
    """A server needs only the cloud half of a bundle."""
    cloud = Path(shutil.copytree(signed / "cloud", tmp_path / "server"))
    assert open_tables(cloud, public_key=KEY.public).version_id == open_tables(bundle_path / "cloud").version_id
    with pytest.raises(SignatureError, match="not what the owner"):
        open_tables(cloud, public_key=OTHER.public)
    with pytest.raises(SignatureError, match="is not signed"):
        open_tables(bundle_path / "cloud", public_key=KEY.public)


READERS: dict[str, Callable[[Path, Any], object]] = {
    "load_device_model": lambda bundle, key: load_device_model(bundle, public_key=key),
    "verify_bundle": lambda bundle, key: verify_bundle(bundle, public_key=key),
    "inspect_bundle": lambda bundle, key: inspect_bundle(bundle, public_key=key),
    "open_tables": lambda bundle, key: open_tables(bundle / "cloud", public_key=key),
    "run_bench": lambda bundle, key: bench_here("step", bundle, rounds=1, public_key=key),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_public_key_of_another_type_is_an_error(signed: Path, reader: str) -> None:
    for key in (KEY.public.raw, "public.pem", Path("public.pem"), False):
        with pytest.raises(InputError, match="public_key should be a PublicKey"):
            READERS[reader](signed, key)


# Tests of paths: EdgeRec reads only files inside the bundle.


def _table_outside(bundle: Path) -> None:
    """Rename a table to a path outside of the bundle, where a folder has valid shards."""
    shutil.copytree(bundle / "cloud" / "embeddings" / "shop", bundle.parent / "shop")
    for folder in (bundle / "cloud", bundle):
        path = folder / "manifest.json"
        document = json.loads(path.read_bytes())
        document["tables"] = {"../../../shop": document["tables"]["shop"]}
        path.write_text(json.dumps(document))


def _unstated_shard(bundle: Path) -> None:
    name = str(sorted((bundle / "cloud" / "embeddings" / "shop").iterdir())[-1].relative_to(bundle / "cloud"))
    cloud = read_cloud_manifest(bundle / "cloud")
    write_manifest(
        cloud.model_copy(update={"files": {key: stamp for key, stamp in cloud.files.items() if key != name}}),
        bundle / "cloud",
    )
    restamp(bundle)
    manifest = read_bundle_manifest(bundle)
    files = {key: stamp for key, stamp in manifest.files.items() if key != f"cloud/{name}"}
    write_manifest(manifest.model_copy(update={"files": files}), bundle)


def _linked(name: str) -> Callable[[Path], object]:
    def link(bundle: Path) -> None:
        moved = (bundle / name).rename(bundle.parent / "moved")
        (bundle / name).symlink_to(moved)

    return link


ESCAPES: dict[str, tuple[Callable[[Path], object], type[EdgeRecError], str]] = {
    "a table's name": (_table_outside, FormatError, "tables"),
    "a shard without a hash": (_unstated_shard, FormatError, "should have the hash(es)? of"),
    "device is a link": (_linked("device"), IntegrityError, "a link"),
    "cloud is a link": (_linked("cloud"), IntegrityError, "a link"),
    "a table is a link": (_linked("cloud/embeddings/shop"), IntegrityError, "a link"),
    "a model is a link": (_linked("device/crban.mnn"), IntegrityError, "a link"),
    "the manifest is a link": (_linked("manifest.json"), IntegrityError, "a link"),
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_files_outside_the_bundle_are_not_read(bundle_path: Path, tmp_path: Path, escape: str) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    change, error, said = ESCAPES[escape]
    change(bundle)
    with pytest.raises(error, match=said):
        verify_bundle(bundle)


def test_a_device_folder_that_is_a_link_is_an_error(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "device").symlink_to(bundle_path / "device")
    with pytest.raises(IntegrityError, match="should not be a link"):
        load_device_model(tmp_path)
