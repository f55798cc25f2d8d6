"""A file is refused before it is read if its manifest states a size that no bundle needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bundle.bounds import MAX_CASE_BYTES, MAX_CASES, check_sizes, table_bytes
from edgerec.bundle.manifest_file import read_bundle_manifest, read_cloud_manifest, read_device_manifest
from edgerec.core.arrays import read_members
from edgerec.core.documents import MAX_BYTES, read_toml
from edgerec.core.errors import ConfigurationError, FormatError, SpecificationError
from edgerec.device_runtime.interpreter import MAX_MODEL_BYTES
from edgerec.features.spec import load_spec
from edgerec.features.vocabulary_files import open_vocabularies
from edgerec.kv.shard_writer import write_shards
from edgerec.kv.table_entry import TableEntry
from tests.bundle.test_manifest import ABC, bundle_document, cloud_document, device_document, sealed

HUGE = 4 << 40
READERS = {
    "bundle": (read_bundle_manifest, bundle_document),
    "device": (read_device_manifest, device_document),
    "cloud": (read_cloud_manifest, cloud_document),
}


def read(folder: Path, kind: str, **change: Any) -> Any:
    reader, document = READERS[kind]
    (folder / "manifest.json").write_bytes(sealed(document(**change)))
    return reader(folder)


def stamps(**sizes: int) -> dict[str, Any]:
    return {name.replace("__", "/"): {"size": size, "sha256": ABC} for name, size in sizes.items()}


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("bundle", "device/crban.mnn"),
        ("bundle", "golden/case-00.npz"),
        ("bundle", "cloud/embeddings/shop/shard-00000-of-00001.npz"),
        ("bundle", "cloud/embeddings/other/shard-00000-of-00001.npz"),
        ("bundle", "golden/onnx/crban.onnx"),
        ("device", "crban.mnn"),
        ("cloud", "embeddings/shop/shard-00000-of-00001.npz"),
    ],
)
@pytest.mark.parametrize("size", [MAX_MODEL_BYTES + 1, HUGE, 10**30])
def test_a_file_larger_than_the_limit_for_its_kind_is_an_error(tmp_path: Path, kind: str, path: str, size: int) -> None:
    files = READERS[kind][1]()["files"]
    read(tmp_path, kind, files={**files, path: {"size": 1000, "sha256": ABC}})
    with pytest.raises(FormatError, match=rf"should have at most \d+ bytes.*; received {size}"):
        read(tmp_path, kind, files={**files, path: {"size": size, "sha256": ABC}})


def test_a_table_larger_than_its_keys_need_is_an_error(tmp_path: Path) -> None:
    keys = np.arange(1000, dtype=np.int64)
    entry = write_shards(
        tmp_path / "shop", keys, [np.ones((1000, 3), np.float32)], np.ones(3, np.float32), shard_rows=7
    )
    sizes = {f"embeddings/shop/{file.name}": file.stat().st_size for file in (tmp_path / "shop").iterdir()}
    check_sizes(sizes, {"shop": entry}, embeddings="embeddings")
    fewer = TableEntry(keys=10, dimension=3, dtype="float32", shards=entry.shards)
    more = {**sizes, "embeddings/shop/more": table_bytes(fewer)}
    with pytest.raises(ValueError, match="the shards of shop should have at most"):
        check_sizes(more, {"shop": fewer}, embeddings="embeddings")
    for change in ({"keys": 2**31}, {"keys": 10**30}, {"dimension": 1025}, {"shards": 100_000}):
        tables = {"shop": {**entry.model_dump(), **change}}
        with pytest.raises(FormatError, match=r"tables\.shop"):
            read(tmp_path, "cloud", tables=tables, files={})


def test_too_many_or_too_large_golden_cases_are_an_error(tmp_path: Path) -> None:
    many = {f"golden/case-{number:03d}.npz": {"size": 1, "sha256": ABC} for number in range(MAX_CASES + 1)}
    with pytest.raises(FormatError, match=rf"at most {MAX_CASES} golden cases; received {MAX_CASES + 1}"):
        read(tmp_path, "bundle", files=many)
    case = sparse(tmp_path / "case.npz", HUGE)
    with pytest.raises(FormatError, match=f"it has {HUGE} bytes, more than {MAX_CASE_BYTES}"):
        read_members(case, ["logits"], what="case", advice="export again", most=MAX_CASE_BYTES)


@pytest.mark.parametrize("change", [{"tolerance": 1e300}, {"tolerance": 0.2}, {"tolerance": -1.0}, {"requests": -1}])
def test_a_tolerance_that_is_too_large_is_an_error(tmp_path: Path, change: dict[str, float]) -> None:
    parity = bundle_document()["parity"]
    read(tmp_path, "bundle", precision="int8", parity={**parity, "tolerance": 0.2})
    with pytest.raises(FormatError, match=r"parity|tolerance"):
        read(tmp_path, "bundle", parity={**parity, **change})


@pytest.mark.parametrize("name", ["x" * 300, "/".join("x" * 3000), "/".join("x" * 10)])
def test_a_path_that_is_too_long_or_too_deep_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="a path should have at most 200 characters and 8 parts"):
        read(tmp_path, "bundle", files=stamps(**{name: 3}))


def test_a_document_or_vocabulary_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    large = sparse(tmp_path / "large", HUGE)
    with pytest.raises(ConfigurationError, match=f"at most {MAX_BYTES} bytes"):
        read_toml(large)
    with pytest.raises(SpecificationError, match=f"at most {MAX_BYTES} bytes"):
        load_spec(large)
    keys = np.lib.format.open_memmap(
        tmp_path / "shop.npy", mode="w+", dtype=np.int64, shape=(1 << 36,)
    )  # The file is sparse: it takes no space on the disk.
    del keys
    with pytest.raises(FormatError, match=f"should have at most 100 keys; received {1 << 36}"):
        open_vocabularies({"shop": 100}, tmp_path)
