from __future__ import annotations

import multiprocessing
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.bundle.files import stamp_files
from edgerec.bundle.manifest_file import read_cloud_manifest, write_manifest
from edgerec.bundle.tables import open_tables
from edgerec.core.errors import FormatError, InputError, IntegrityError, ShapeError
from edgerec.kv.npz import NpzTables, Table, open_table
from edgerec.kv.shard_writer import shard_name, write_shards
from tests.kv.tables import expected, make, write, write_cloud

INT64 = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=40)
@given(
    keys=st.lists(INT64, unique=True, max_size=20).map(sorted),
    rows=st.integers(1, 9),
    width=st.integers(1, 5),
    requested=st.lists(INT64 | st.integers(0, 19), max_size=12),
)
def test_a_look_up_returns_the_rows_of_the_keys(
    tmp_path: Path, keys: list[int], rows: int, width: int, requested: list[int]
) -> None:
    shutil.rmtree(tmp_path / "t", ignore_errors=True)
    table = make(keys, width=width)
    entry = write(table, tmp_path / "t", shard_rows=rows)
    opened = open_table(tmp_path / "t")
    assert opened.entry == entry
    # Small numbers are replaced by existing keys, so that about half of the requested keys exist.
    requested = [keys[q] if 0 <= q < len(keys) else q for q in requested]
    found, known = opened.get_many(np.array(requested, np.int64))
    np.testing.assert_array_equal(found, expected(table, requested))
    assert known.tolist() == [key in keys for key in requested]
    assert (found.dtype, found.shape) == (np.float32, (len(requested), width))
    for row, key in zip(found, requested, strict=True):
        np.testing.assert_array_equal(opened.get_many(np.array([key])).rows[0], row)
    parts = list(opened.blocks(4))
    np.testing.assert_array_equal(np.concatenate([np.empty(0, np.int64), *(k for k, _ in parts)]), keys)
    np.testing.assert_array_equal(np.concatenate([np.empty((0, width)), *(v for _, v in parts)]), table.values)


@pytest.mark.parametrize("keys", [[], [7]])
def test_tables_with_no_row_or_one_row_work(tmp_path: Path, keys: list[int]) -> None:
    write(make(keys), tmp_path / "t")
    rows, known = open_table(tmp_path / "t").get_many(np.array([7, 99, -5]))
    assert known.sum() == len(keys)
    np.testing.assert_array_equal(rows, expected(make(keys), [7, 99, -5]))


def test_returned_rows_are_copies(tmp_path: Path) -> None:
    write(make(range(9)), tmp_path / "t", shard_rows=4)
    table = open_table(tmp_path / "t")
    before = table.get_many(np.array([3, 77])).rows.copy()
    table.get_many(np.array([3, 77])).rows[:] = 0
    np.testing.assert_array_equal(table.get_many(np.array([3, 77])).rows, before)


@pytest.mark.parametrize(
    "keys", [[1], np.array([1.0]), np.array([1], np.int32), np.array([[1]]), np.int64(1), np.array(1), None]
)
def test_keys_of_another_type_or_shape_are_refused(tmp_path: Path, keys: Any) -> None:
    opened = open_tables(write_cloud(tmp_path / "cloud", {"shop": make([1])}))
    for call in (lambda: opened.tables["shop"].get_many(keys), lambda: opened.get_many({"shop": keys})):
        with pytest.raises(ShapeError, match=r"should be int64 \(m,\)"):
            call()


def test_shards_that_numpy_wrote_can_be_opened(tmp_path: Path) -> None:
    """Bundles of version 0.1.0 have such shards. They are not aligned, and some are empty."""
    table = make(range(5))
    (tmp_path / "t").mkdir()
    for number, part in enumerate((slice(0, 0), slice(0, 3), slice(3, 3), slice(3, 5))):
        arrays = {"keys": table.keys[part], "values": table.values[part], "unknown": table.unknown}
        np.savez(tmp_path / "t" / shard_name(number, 4), **arrays)
    rows, known = open_table(tmp_path / "t").get_many(np.arange(-1, 6))
    np.testing.assert_array_equal(rows, expected(table, range(-1, 6)))
    assert (~known).sum() == 2


def test_open_tables_opens_all_tables_of_a_version(tmp_path: Path) -> None:
    shop, brand = make(range(20), width=2), make(range(0, 60, 3), width=5)
    cloud = write_cloud(tmp_path / "cloud", {"shop": shop, "brand": brand}, version_id="v7")
    opened = open_tables(cloud)
    assert (opened.version_id, opened.spec, opened.dimensions) == ("v7", {"name": "a"}, {"shop": 2, "brand": 5})
    found = opened.get_many({"brand": np.array([3, 4]), "shop": np.array([3, 4])})
    np.testing.assert_array_equal(found["shop"].rows, expected(shop, [3, 4]))
    np.testing.assert_array_equal(found["brand"].rows, expected(brand, [3, 4]))
    assert {name: row.unknown for name, row in found.items()} == {"shop": 0, "brand": 1}
    with pytest.raises(InputError, match="feature 'city' has no table; features with tables: brand, shop"):
        opened.get_many({"city": np.array([1])})


def _check_pages(opened: NpzTables, seed: int) -> bool:
    """Look up 200 random pages. Return whether all rows are right: each row should contain its key."""
    rng = np.random.default_rng(seed)
    for _ in range(200):
        keys = rng.integers(-50, 5050, 100)
        rows, found = opened.get_many({"shop": keys})["shop"]
        known = (keys >= 0) & (keys < 5000)
        if not np.array_equal(found, known) or not np.array_equal(rows[:, 0], np.where(known, keys, -1)):
            return False
    return True


def _open_and_check(cloud: Path, seed: int) -> bool:
    return _check_pages(open_tables(cloud), seed)


def table_of_keys(count: int = 5000) -> Table:
    """Make a table in which each row contains its key."""
    keys = np.arange(count)
    return Table(keys, np.repeat(keys[:, None], 3, axis=1).astype(np.float32), np.full(3, -1, np.float32))


def test_threads_and_processes_share_tables(tmp_path: Path) -> None:
    cloud = write_cloud(tmp_path / "cloud", {"shop": table_of_keys()}, rows=700)
    opened = open_tables(cloud)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda seed: _check_pages(opened, seed), range(16)))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert all(processes.map(_open_and_check, [cloud] * 2, range(2)))


@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning"
)  # The test process may have threads, but the child needs none of them.
def test_a_forked_process_can_use_open_tables(tmp_path: Path) -> None:
    opened = open_tables(write_cloud(tmp_path / "cloud", {"shop": table_of_keys()}, rows=700))
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0 if _check_pages(opened, 1) else 3))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert _check_pages(opened, 2)


def test_an_open_table_works_after_its_files_are_removed(tmp_path: Path) -> None:
    cloud = write_cloud(tmp_path / "cloud", {"shop": table_of_keys()}, rows=700)
    opened = open_tables(cloud)
    shutil.rmtree(cloud)
    assert _check_pages(opened, 1)


LOOK_UPS = """
import os, re, sys, numpy as np; from pathlib import Path
from edgerec.kv.npz import open_table
def memory():
    text = Path("/proc/self/status").read_text()
    return [int(re.search(name + r":\\s+(\\d+)", text)[1]) * 1024 for name in ("VmRSS", "RssAnon")]
for file in Path(sys.argv[1]).iterdir():
    with file.open("rb") as content:
        os.fsync(content.fileno())
        os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
rng, before = np.random.default_rng(0), memory()
table = open_table(Path(sys.argv[1]), sums=False, numbers=False)
for count in (3, 300):
    for _ in range(count):
        keys = rng.integers(0, 1_500_000, 100)
        rows, known = table.get_many(keys)
        assert known.all() and (rows[:, 7] == keys.astype(np.float32)).all()
    print(*(now - then for now, then in zip(memory(), before)))
"""


def test_a_large_table_is_not_loaded_into_memory(tmp_path: Path) -> None:
    """The table has 240 MB (1.5 million rows of dimension 40). Look-ups load only the memory pages of the rows.

    The table is first removed from the page cache, because Linux may map large pieces of cached files at once. Private
    memory, which no other process can share, stays small for any number of look-ups.
    """
    keys = np.arange(1_500_000)
    blocks = (
        np.repeat(keys[start : start + 10_000, None], 40, 1).astype(np.float32) for start in range(0, len(keys), 10_000)
    )
    write_shards(tmp_path / "t", keys, blocks, np.zeros(40, np.float32))
    done = subprocess.run([sys.executable, "-c", LOOK_UPS, tmp_path / "t"], capture_output=True, text=True, check=True)
    (resident, private), (_, private_later) = (tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert resident < 80e6
    assert private < 8e6
    assert private_later < 8e6


def _swap(folder: Path) -> None:
    row, other = folder / shard_name(0, 4), folder / shard_name(1, 4)
    row.rename(folder / "aside")
    other.rename(row)
    (folder / "aside").rename(other)


def _foreign(folder: Path, *, width: int) -> None:
    table = make([50], width=width, seed=1)
    _replace(folder, 3, keys=table.keys, values=table.values, unknown=table.unknown)


def _replace(folder: Path, number: int, save: Callable[..., None] = np.savez, **arrays: Any) -> None:
    file = folder / shard_name(number, 4)
    with np.load(file) as members:
        kept = {name: members[name] for name in members.files}
    file.unlink()
    save(file, **{**kept, **arrays})


def _edit(folder: Path, change: Callable[[bytes], bytes]) -> None:
    file = folder / shard_name(1, 4)
    file.write_bytes(change(file.read_bytes()))


def _directory_entry(content: bytes) -> int:
    """Return the position of the directory entry of `values`."""
    return content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)


def _entry_offset(folder: Path, offset: int) -> None:
    def change(content: bytes) -> bytes:
        start = _directory_entry(content) + 42
        return content[:start] + offset.to_bytes(4, "little") + content[start + 4 :]

    _edit(folder, change)


def _entry_size(folder: Path, size: int, *, both: bool = False) -> None:
    def change(content: bytes) -> bytes:
        entry_start = _directory_entry(content)
        offset = int.from_bytes(content[entry_start + 42 : entry_start + 46], "little")
        for start in (entry_start + 20, *((offset + 18,) if both else ())):
            content = content[:start] + size.to_bytes(4, "little") * 2 + content[start + 8 :]
        return content

    _edit(folder, change)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda folder: (folder / shard_name(2, 4)).unlink(), "shards are missing"),
    "last missing": (lambda folder: (folder / shard_name(3, 4)).unlink(), "shards are missing"),
    "none": (lambda folder: [file.unlink() for file in folder.iterdir()], "shards are missing"),
    "no folder": (lambda folder: shutil.rmtree(folder), "shards are missing"),
    "swapped": (_swap, "do not belong together"),
    "twice": (lambda folder: shutil.copy(folder / shard_name(0, 4), folder / shard_name(1, 4)), "belong together"),
    "of another table": (lambda folder: _foreign(folder, width=3), "do not belong together"),
    "of another width": (lambda folder: _foreign(folder, width=2), "do not belong together"),
    "of half precision": (
        lambda folder: _replace(folder, 0, values=np.zeros((5, 3), "f2"), unknown=np.zeros(3, "f2")),
        "do not belong together",
    ),
    "unsorted": (lambda folder: _replace(folder, 0, keys=np.array([0, 2, 1, 3, 4])), "not in ascending order"),
    "truncated": (lambda folder: _edit(folder, lambda content: content[:200]), "not a zip file"),
    "the middle missing": (lambda folder: _edit(folder, lambda c: c[:200] + c[264:]), "keys begins at byte -64"),
    "empty file": (lambda folder: _edit(folder, lambda content: b""), "not a zip file"),
    "an array, not an archive": (lambda folder: np.save(folder / "x", 1) or _edit(folder, lambda c: c[:-22]), "zip"),
    "compressed": (lambda folder: _replace(folder, 0, np.savez_compressed), "compressed"),
    "objects": (
        lambda folder: _replace(folder, 0, keys=np.array([{}] * 5, object)),
        "the header of keys gives .* object",
    ),
    "fortran order": (lambda folder: _replace(folder, 0, values=np.asfortranarray(np.zeros((5, 3), "f4"))), "C order"),
    "big-endian": (lambda folder: _replace(folder, 0, keys=np.arange(5).astype(">i8")), "expected keys int64"),
    "one array more": (lambda folder: _replace(folder, 0, more=np.zeros(1, "f4")), "the arrays keys, unknown, values"),
    "other type of values": (lambda folder: _replace(folder, 0, values=np.zeros((5, 3))), "expected keys int64"),
    "values of integers": (lambda folder: _replace(folder, 0, values=np.zeros((5, 3), "i8")), "expected keys int64"),
    "more keys than values": (lambda folder: _replace(folder, 0, keys=np.arange(6)), "expected keys int64"),
    "a number for keys": (lambda folder: _replace(folder, 0, keys=np.int64(1)), "expected keys int64"),
    "a member at another's place": (lambda folder: _entry_offset(folder, 0), "values begins at byte 0"),
    "a member outside the file": (lambda folder: _entry_offset(folder, 1 << 30), "values begins at byte 1073741824"),
    "a member longer than the file": (lambda folder: _entry_size(folder, 1 << 30), "larger than the file"),
    "a longer member by both headers": (
        lambda folder: _entry_size(folder, 1 << 30, both=True),
        "larger than the file",
    ),
    "a longer shape than bytes": (
        lambda folder: _edit(folder, lambda c: c.replace(b"'shape': (5,)", b"'shape': (9,)")),
        "the header of keys gives .* but its data has another size",
    ),
    "a huge shape": (
        lambda folder: _edit(folder, lambda c: re.sub(rb"\(5, 3\), \}( {20})", b"(999999999999, 3), } " + b" " * 8, c)),
        "the header of values gives .* but its data has another size",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_shards_are_refused(tmp_path: Path, fault: str) -> None:
    write(make(range(20)), tmp_path / "t", shard_rows=5)
    damage, message = FAULTS[fault]
    damage(tmp_path / "t")
    with pytest.raises(FormatError, match=message) as caught:
        open_table(tmp_path / "t", sums=False, numbers=False)
    assert "\n" not in str(caught.value)


def _cloud_manifest(cloud: Path, **change: Any) -> None:
    write_manifest(read_cloud_manifest(cloud).model_copy(update=change), cloud)


def _entry(cloud: Path, **change: Any) -> None:
    entry = read_cloud_manifest(cloud).tables["shop"].model_copy(update=change)
    _cloud_manifest(cloud, tables={"shop": entry})


def _unhashed(cloud: Path) -> None:
    files = dict(read_cloud_manifest(cloud).files)
    files.pop(f"embeddings/shop/{shard_name(1, 3)}")
    _cloud_manifest(cloud, files=files)


def _of_another_model(cloud: Path) -> None:
    shutil.rmtree(cloud / "embeddings" / "shop")
    write(make(range(20), seed=5), cloud / "embeddings" / "shop", shard_rows=8)


CLOUD_FAULTS: dict[str, tuple[Callable[[Path], object], type[FormatError], str]] = {
    "other keys": (lambda cloud: _entry(cloud, keys=21), FormatError, "received 20 keys of 3 float32 in 3 shards"),
    "other width": (lambda cloud: _entry(cloud, dimension=4), FormatError, "should have 20 keys of 4 float32"),
    "other type": (lambda cloud: _entry(cloud, dtype="float16"), FormatError, "should have 20 keys of 3 float16"),
    "other shards": (lambda cloud: _entry(cloud, shards=2), FormatError, "should list the hash of"),
    "a shard without its hash": (_unhashed, FormatError, "hash of embeddings/shop/shard-00001-of-00003"),
    "of another model": (_of_another_model, IntegrityError, "was changed"),
    "no folder": (shutil.rmtree, FormatError, "is not a folder"),
}


@pytest.mark.parametrize("fault", CLOUD_FAULTS)
def test_tables_that_contradict_their_manifest_are_refused(tmp_path: Path, fault: str) -> None:
    cloud = write_cloud(tmp_path / "cloud", {"shop": make(range(20))})
    open_tables(cloud)
    damage, error, message = CLOUD_FAULTS[fault]
    damage(cloud)
    with pytest.raises(error, match=message):
        open_tables(cloud)


@settings(max_examples=120)
@given(data=st.data())
def test_random_damage_raises_a_format_error_or_does_no_harm(tmp_path: Path, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path / "t", ignore_errors=True)
    table = make([1, 5, 9], width=4)
    write(table, tmp_path / "t", dtype=data.draw(st.sampled_from(["float32", "float16"])))
    file = tmp_path / "t" / shard_name(0, 1)
    requested = np.array([1, 2, 5, 9, 11])
    expected_rows = open_table(tmp_path / "t").get_many(requested)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    # Without checks, wrong numbers may be read. But the result has the right shape, or there is a `FormatError`.
    for check in (False, True):
        try:
            found = open_table(tmp_path / "t", sums=check, numbers=check).get_many(requested)
        except FormatError:
            continue
        assert found.rows.shape == (5, 4)
        if check:
            np.testing.assert_array_equal(found.rows, expected_rows.rows)
            assert found.unknown == expected_rows.unknown == 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("member", ["values", "unknown"])
def test_nan_and_infinity_are_refused(tmp_path: Path, dtype: Any, bad: float, member: str) -> None:
    """Hashes do not detect NaN: an export of a model with NaN writes the hashes of a table with NaN."""
    cloud = write_cloud(tmp_path / "cloud", {"shop": make(range(20))}, dtype=dtype)
    folder = cloud / "embeddings" / "shop"
    for number in range(3):
        file = folder / shard_name(number, 3)
        with np.load(file) as members:
            arrays = dict(members)
        if member == "unknown" or number == 2:
            arrays[member].reshape(-1)[-1] = bad
        np.savez(file, **arrays)
    _cloud_manifest(cloud, files=stamp_files(cloud, cloud.rglob("*.npz")))
    for check in (False, True):
        with pytest.raises(FormatError, match=f"shard .*{member} has a NaN or infinite number.*export the bundle"):
            open_tables(cloud, check=check)
    with pytest.raises(FormatError, match=f"{member} has a NaN or infinite number"):
        open_table(folder)


def test_checksums_detect_every_changed_number(tmp_path: Path) -> None:
    table = make(range(6))
    write(table, tmp_path / "t")
    file = tmp_path / "t" / shard_name(0, 1)
    content = file.read_bytes()
    start = content.index(table.values[4].tobytes())
    file.write_bytes(content[: start + 3] + bytes([content[start + 3] ^ 1]) + content[start + 4 :])
    assert not np.array_equal(
        open_table(tmp_path / "t", sums=False, numbers=False).get_many(table.keys).rows, table.values
    )
    with pytest.raises(IntegrityError, match="checksum of values is wrong"):
        open_table(tmp_path / "t")
