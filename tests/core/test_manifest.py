from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import FormatError, IntegrityError
from edgerec.core.manifest import (
    MODELS,
    BundleManifest,
    DeviceManifest,
    FileStamp,
    check_files,
    read_bundle_manifest,
    read_device_manifest,
    stamp_files,
    write_manifest,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2


def device_document(**more: Any) -> dict[str, Any]:
    models = {name: {"file": f"{name}.mnn", "inputs": {"x": [1, 2]}, "outputs": {"y": [1]}} for name in MODELS}
    return {
        "format": 1,
        "kind": "device",
        "version_id": "20250101000000-0123456789ab",
        "precision": "fp32",
        "spec": {"name": "a", "digest": "f" * 64},
        "limits": {"candidates": 10, "exposures": 20, "page_views": 8},
        "models": models,
        "files": {f"{name}.mnn": {"size": 3, "sha256": ABC} for name in MODELS},
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


def device(**more: Any) -> DeviceManifest:
    return DeviceManifest.model_validate(device_document(**more))


def test_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    bundle = BundleManifest.model_validate(bundle_document())
    for name in ("a", "b"):
        (tmp_path / name / "device").mkdir(parents=True)
        write_manifest(bundle, tmp_path / name)
        write_manifest(device(), tmp_path / name / "device")
    assert read_bundle_manifest(tmp_path / "a") == bundle
    assert read_device_manifest(tmp_path / "a" / "device") == device()
    for file in ("manifest.json", "device/manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_summary_by_hand() -> None:
    summary = BundleManifest.model_validate(bundle_document(gauc={"keras": 0.6, "mnn": None})).summary()
    assert (summary["device_bytes"], summary["cloud_bytes"]) == (3, 5)
    assert (summary["parity_max_abs"], summary["gauc_keras"], summary["gauc_mnn"]) == (1e-6, 0.6, None)


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    write_manifest(device(), tmp_path)
    content = (tmp_path / "manifest.json").read_bytes()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 0x01
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
def test_paths_stay_inside_the_bundle(path: str) -> None:
    files = {path: {"size": 3, "sha256": ABC}}
    for model, document in ((BundleManifest, bundle_document), (DeviceManifest, device_document)):
        with pytest.raises(ValueError, match="plain path inside the bundle"):
            model.model_validate(document(files=files))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": {}}, "should be hubsm_ie"),
        ({"limits": {"candidates": 1}}, "should be candidates"),
        ({"limits": {"candidates": 0, "exposures": 1, "page_views": 1}}, "limits.candidates"),
        ({"precision": "int4"}, "precision"),
        ({"kind": "bundle"}, "kind"),
        ({"files": {"crban.mnn": {"size": 3, "sha256": "xyz"}}}, "sha256"),
        ({"format": 2}, "reads format 1"),
    ],
)
def test_faulty_device_manifests(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(device_document(**change)))
    with pytest.raises(FormatError, match=said):
        read_device_manifest(tmp_path)


def test_a_model_without_its_hash(tmp_path: Path) -> None:
    write_manifest(device(files={}), tmp_path)
    with pytest.raises(FormatError, match=r"names crban\.mnn without its hash"):
        read_device_manifest(tmp_path)


def test_an_old_manifest_without_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(device_document()))
    with pytest.raises(IntegrityError, match="was changed"):
        read_device_manifest(tmp_path)


def test_files_are_what_was_stamped(tmp_path: Path) -> None:
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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2000) | st.floats() | st.sampled_from([ABC, "fp32", "a/b", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["size", "sha256", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=150)
@given(data=st.data())
def test_any_document_is_a_manifest_or_a_format_error(tmp_path: Path, data: st.DataObject) -> None:
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
        with pytest.raises(FormatError):  # none of them has a digest
            read(folder)
