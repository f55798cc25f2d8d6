from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.bundle.files import check_files, read_stamped, stamp_files
from edgerec.bundle.manifest import DEVICE_MODELS, BundleManifest, CloudManifest, DeviceManifest
from edgerec.bundle.manifest_file import read_bundle_manifest, read_cloud_manifest, read_device_manifest, write_manifest
from edgerec.core.atomic import json_bytes
from edgerec.core.errors import FormatError, IntegrityError
from edgerec.core.hashing import FileStamp, sha256_bytes

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # The SHA-256 hash of "abc" (FIPS 180-2).


def device_document(**more: Any) -> dict[str, Any]:
    models = {name: {"file": f"{name}.mnn", "inputs": {"x": [1, 2]}, "outputs": {"y": [1]}} for name in DEVICE_MODELS}
    return {
        "format": 1,
        "kind": "device",
        "version_id": "20250101000000-0123456789ab",
        "precision": "fp32",
        "spec": {"name": "a", "digest": "f" * 64},
        "limits": {"candidates": 10, "exposures": 20, "page_views": 8},
        "models": models,
        "files": {f"{name}.mnn": {"size": 3, "sha256": ABC} for name in DEVICE_MODELS},
        **more,
    }


def bundle_document(**more: Any) -> dict[str, Any]:
    device = device_document()
    return {
        **{key: device[key] for key in ("format", "version_id", "precision", "spec", "models")},
        "kind": "bundle",
        "created": "2025-01-01T00:00:00Z",
        "config": {},
        "tables": {"shop": {"keys": 5, "dimension": 4, "dtype": "float32", "shards": 8}},
        "parity": {"max_abs_error": 1e-6, "tolerance": 1e-4, "checks": {}, "requests": 9, "orders_equal": 9},
        "gauc": {"keras": 0.6, "mnn": 0.6},
        "tools": {},
        "files": {"device/crban.mnn": {"size": 3, "sha256": ABC}, "cloud/a": {"size": 5, "sha256": ABC}},
        **more,
    }


def cloud_document(**more: Any) -> dict[str, Any]:
    bundle = bundle_document()
    files = {"embeddings/shop/shard-00000-of-00001.npz": {"size": 3, "sha256": ABC}}
    return {
        **{key: bundle[key] for key in ("format", "version_id", "spec", "tables")},
        "kind": "cloud",
        "files": files,
        **more,
    }


def sealed(document: Any) -> bytes:
    """Return `document` as the bytes of a manifest, with its correct digest."""
    unsealed = json_bytes({**document, "digest": "0" * 64})
    return unsealed.replace(b'"' + b"0" * 64 + b'"', b'"' + sha256_bytes(unsealed).encode() + b'"')


def device(**more: Any) -> DeviceManifest:
    return DeviceManifest.model_validate(device_document(**more))


def test_manifests_are_read_as_written_and_equal_manifests_have_equal_bytes(tmp_path: Path) -> None:
    bundle = BundleManifest.model_validate(bundle_document())
    for name in ("a", "b"):
        (tmp_path / name / "device").mkdir(parents=True)
        write_manifest(bundle, tmp_path / name)
        write_manifest(device(), tmp_path / name / "device")
    assert read_bundle_manifest(tmp_path / "a") == bundle
    assert read_device_manifest(tmp_path / "a" / "device") == device()
    for file in ("manifest.json", "device/manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_summary_of_a_manifest_equals_values_computed_by_hand() -> None:
    summary = BundleManifest.model_validate(bundle_document(gauc={"keras": 0.6, "mnn": None})).summary()
    assert (summary["device_bytes"], summary["cloud_bytes"]) == (3, 5)
    assert (summary["parity_max_abs"], summary["gauc_keras"], summary["gauc_mnn"]) == (1e-6, 0.6, None)


def test_every_changed_byte_is_an_error(tmp_path: Path) -> None:
    write_manifest(device(), tmp_path)
    content = (tmp_path / "manifest.json").read_bytes()
    for index in range(len(content)):
        changed = bytearray(content)
        changed[index] ^= 0x01
        (tmp_path / "manifest.json").write_bytes(changed)
        with pytest.raises(FormatError):
            read_device_manifest(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../outside", "device/../../outside", "device//crban.mnn", "./crban.mnn", "device/", "", "."),
        *("..", "C:\\x", "device\\crban.mnn", "a b", ".hidden", "device/.hidden", "nul\x00", "line\nbreak", "-rf"),
    ],
)
def test_a_path_out_of_the_bundle_is_an_error(path: str) -> None:
    files = {path: {"size": 3, "sha256": ABC}}
    for model, document in ((BundleManifest, bundle_document), (DeviceManifest, device_document)):
        with pytest.raises(ValueError, match="plain path inside the bundle"):
            model.model_validate(document(files=files))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": {}}, "should be crban and the step models"),
        ({"limits": {"candidates": 1}}, "should be candidates"),
        ({"limits": {"candidates": 0, "exposures": 1, "page_views": 1}}, "limits.candidates"),
        ({"precision": "int4"}, "precision"),
        ({"kind": "bundle"}, "kind"),
        ({"files": {"crban.mnn": {"size": 3, "sha256": "xyz"}}}, "sha256"),
        ({"format": 2}, "reads format 1"),
    ],
)
def test_a_faulty_device_manifest_is_a_format_error(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(device_document(**change)))
    with pytest.raises(FormatError, match=said):
        read_device_manifest(tmp_path)


def test_a_model_without_its_hash_is_an_error(tmp_path: Path) -> None:
    write_manifest(device(files={}), tmp_path)
    with pytest.raises(FormatError, match=r"should list the hash of crban\.mnn"):
        read_device_manifest(tmp_path)


def test_an_old_manifest_without_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(device_document()))
    with pytest.raises(IntegrityError, match="was changed"):
        read_device_manifest(tmp_path)


def test_check_files_finds_a_changed_missing_or_linked_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b", "sub/a"):
        (tmp_path / name).write_bytes(b"abc")
    stamps = stamp_files(tmp_path, [tmp_path / "sub" / "a", tmp_path / "b"])
    assert stamps == {name: FileStamp(size=3, sha256=ABC) for name in ("b", "sub/a")}
    check_files(tmp_path, stamps)
    for change, said in (
        (lambda path: path.write_bytes(b"abd"), "was changed"),
        (lambda path: path.write_bytes(b"abcd"), "4 bytes instead of 3"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.mkdir(), "is missing"),
    ):
        change(tmp_path / "b")
        with pytest.raises(IntegrityError, match=said):
            check_files(tmp_path, stamps)
    (tmp_path / "b").rmdir()
    (tmp_path / "b").symlink_to(tmp_path / "sub" / "a")
    with pytest.raises(IntegrityError, match="is missing"):
        check_files(tmp_path, stamps)


def test_read_stamped_returns_only_unchanged_bytes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"abc")
    stamp = FileStamp(size=3, sha256=ABC)
    assert read_stamped(tmp_path, "sub/a", stamp) == b"abc"
    for content, said in ((b"abd", "was changed"), (b"abcd", "4 bytes instead of 3")):
        (tmp_path / "sub" / "a").write_bytes(content)
        with pytest.raises(IntegrityError, match=said):
            read_stamped(tmp_path, "sub/a", stamp)


def test_a_link_to_a_file_or_to_a_folder_above_it_is_an_error(tmp_path: Path) -> None:
    outside, bundle = tmp_path / "outside", tmp_path / "bundle"
    outside.mkdir()
    (outside / "a").write_bytes(b"abc")
    (bundle / "one").mkdir(parents=True)
    (bundle / "one" / "a").symlink_to(outside / "a")
    (bundle / "two").symlink_to(outside)
    (bundle / "three").mkdir()
    (bundle / "three" / "two").symlink_to(outside)
    stamp = FileStamp(size=3, sha256=ABC)
    for name in ("one/a", "two/a", "three/two/a"):
        assert (bundle / name).read_bytes() == b"abc"
        for call in (
            lambda name=name: check_files(bundle, {name: stamp}),
            lambda name=name: read_stamped(bundle, name, stamp),
        ):
            with pytest.raises(IntegrityError, match="or a link"):
                call()
    write_manifest(device(), outside)
    (bundle / "manifest.json").symlink_to(outside / "manifest.json")
    with pytest.raises(IntegrityError, match="should not be a link"):
        read_device_manifest(bundle)


def test_a_pipe_is_an_error_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(FormatError, match="not a regular file"):
        read_device_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../../outside", "/etc", "a/b", "", ".", "..", "a b", "a\n", "1a"])
def test_a_table_name_that_leads_out_of_the_bundle_is_an_error(name: str) -> None:
    table = bundle_document()["tables"]["shop"]
    with pytest.raises(ValueError, match="tables"):
        BundleManifest.model_validate(bundle_document(tables={name: table}))
    with pytest.raises(ValueError, match="tables"):
        CloudManifest.model_validate(cloud_document(tables={name: table}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2000) | st.floats() | st.sampled_from([ABC, "fp32", "a/b", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["size", "sha256", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=150)
@given(data=st.data())
def test_a_document_without_a_valid_digest_is_a_format_error(tmp_path: Path, data: st.DataObject) -> None:
    for make, read, name in (
        (bundle_document, read_bundle_manifest, "bundle"),
        (device_document, read_device_manifest, "device"),
    ):
        document = make()
        key = data.draw(st.sampled_from(sorted(document)))
        document[key] = data.draw(JSON)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps(document))
        with pytest.raises(FormatError):  # No document has a valid digest.
            read(folder)


READERS = {
    "bundle": (bundle_document, read_bundle_manifest, BundleManifest),
    "device": (device_document, read_device_manifest, DeviceManifest),
    "cloud": (cloud_document, read_cloud_manifest, CloudManifest),
}
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from([ABC, "fp32", "../x", "a/b", "", "/etc", "crban.mnn", 10**30, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("size/.ab_", max_size=5), inner, max_size=3),
    max_leaves=8,
)


def change_random_element(node: Any, value: Any, data: st.DataObject) -> None:
    """Replace, remove or rename a random element of a document. `value` is the replacement."""
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = node[key]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            node = inner
            continue
        how = data.draw(st.sampled_from(["set", "remove", "rename"]))
        if how == "set" or isinstance(node, list):
            node[key] = value
        else:
            del node[key]
            if how == "rename":
                node[data.draw(st.sampled_from(["x", "../x", "/x", "a/../../b", ""]))] = inner
        return


@settings(max_examples=100)
@given(kind=st.sampled_from(sorted(READERS)), value=ANY, data=st.data())
def test_any_document_with_a_valid_digest_gives_a_manifest_or_a_format_error(
    tmp_path: Path, kind: str, value: Any, data: st.DataObject
) -> None:
    """The digest is correct. So the reader does not refuse the bytes at once and checks the content."""
    make, read, model = READERS[kind]
    document = copy.deepcopy(make())
    (tmp_path / "manifest.json").write_bytes(sealed(document))
    assert isinstance(read(tmp_path), model)
    for _ in range(data.draw(st.integers(1, 3))):
        change_random_element(document, copy.deepcopy(value), data)
    (tmp_path / "manifest.json").write_bytes(sealed(document))
    try:
        found = read(tmp_path)
    except FormatError as error:
        assert "\n" not in str(error)  # noqa: PT017 - whatever is raised has to be one line
        return
    assert isinstance(found, model)
    for name in [*found.files, *getattr(found, "tables", {})]:
        assert ".." not in name.split("/")
        assert not name.startswith("/")


@settings(max_examples=100)
@given(kind=st.sampled_from(sorted(READERS)), data=st.data())
def test_any_change_of_bytes_is_a_format_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    make, read, _ = READERS[kind]
    content = sealed(make())
    at = data.draw(st.integers(0, len(content)))
    piece = data.draw(st.binary(max_size=8))
    changed = content[:at] + piece + content[at + data.draw(st.integers(0, 8)) :]
    (tmp_path / "manifest.json").write_bytes(changed)
    if changed == content:
        read(tmp_path)
        return
    with pytest.raises(FormatError):
        read(tmp_path)
