from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import FormatError
from edgerec.kv.npz import Table, load_table, save_table, shard_name


def make(keys: list[int], *, width: int = 3, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    return Table(
        keys=np.array(keys, np.int64),
        values=rng.normal(size=(len(keys), width)).astype(np.float32),
        unknown=rng.normal(size=width).astype(np.float32),
    )


def equal(one: Table, other: Table) -> bool:
    return all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in ((one.keys, other.keys), (one.values, other.values), (one.unknown, other.unknown))
    )


@settings(max_examples=25)
@given(
    keys=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), unique=True, max_size=20).map(sorted),
    shards=st.integers(1, 9),
    asked=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 19), max_size=12),
)
def test_round_trip_and_look_up(tmp_path: Path, keys: list[int], shards: int, asked: list[int]) -> None:
    shutil.rmtree(tmp_path / "t", ignore_errors=True)
    table = make(keys)
    save_table(table, tmp_path / "t", shards=shards)
    found = load_table(tmp_path / "t")
    assert equal(found, table)
    # Half of the questions are about keys that are there.
    asked = [keys[q] if 0 <= q < len(keys) else q for q in asked]
    rows, missing = found.get_many(np.array(asked, np.int64))
    by_key = dict(zip(keys, table.values, strict=True))
    expected = [by_key.get(key, table.unknown) for key in asked]
    np.testing.assert_array_equal(rows, np.reshape(expected, (len(asked), 3)))
    assert missing == sum(key not in by_key for key in asked)
    assert rows.dtype == np.float32


def test_shards_follow_one_another_by_key(tmp_path: Path) -> None:
    save_table(make(list(range(0, 100, 5))), tmp_path / "t", shards=3)
    parts = [np.load(tmp_path / "t" / shard_name(i, 3))["keys"] for i in range(3)]
    assert [file.name for file in sorted((tmp_path / "t").iterdir())] == [
        "shard-00000-of-00003.npz", "shard-00001-of-00003.npz", "shard-00002-of-00003.npz",
    ]  # fmt: skip
    assert [len(part) for part in parts] == [6, 7, 7]
    assert np.concatenate(parts).tolist() == list(range(0, 100, 5))


@pytest.mark.parametrize("keys", [[], [7], [1, 2, 3]])
def test_fewer_keys_than_shards(tmp_path: Path, keys: list[int]) -> None:
    save_table(make(keys), tmp_path / "t")
    assert len(list((tmp_path / "t").iterdir())) == 8
    table = load_table(tmp_path / "t")
    assert equal(table, make(keys))
    rows, missing = table.get_many(np.array([7, 99]))
    assert missing == 2 - keys.count(7)
    np.testing.assert_array_equal(rows[1], table.unknown)


def test_equal_tables_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_table(make([1, 5, 9]), tmp_path / name, shards=2)
    for i in range(2):
        assert (tmp_path / "a" / shard_name(i, 2)).read_bytes() == (tmp_path / "b" / shard_name(i, 2)).read_bytes()


def _swap(folder: Path) -> None:
    one, other = folder / shard_name(0, 4), folder / shard_name(1, 4)
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)


def _foreign(folder: Path, *, width: int) -> None:
    (folder / shard_name(2, 4)).unlink()
    table = make([50], width=width, seed=1)
    np.savez(folder / shard_name(2, 4), keys=table.keys, values=table.values, unknown=table.unknown)


def _replace(folder: Path, **arrays: np.ndarray) -> None:
    file = folder / shard_name(0, 4)
    with np.load(file) as members:
        kept = {name: members[name] for name in members.files}
    np.savez(file, **{**kept, **arrays})


def _write_array(file: Path) -> None:
    with file.open("wb") as content:
        np.save(content, np.zeros(3))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda folder: (folder / shard_name(2, 4)).unlink(), "shards are missing"),
    "last missing": (lambda folder: (folder / shard_name(3, 4)).unlink(), "shards are missing"),
    "none": (lambda folder: [file.unlink() for file in folder.iterdir()], "shards are missing"),
    "no folder": (lambda folder: shutil.rmtree(folder), "shards are missing"),
    "swapped": (_swap, "do not belong together"),
    "twice": (lambda folder: shutil.copy(folder / shard_name(0, 4), folder / shard_name(1, 4)), "belong together"),
    "of another table": (lambda folder: _foreign(folder, width=3), "do not belong together"),
    "of another width": (lambda folder: _foreign(folder, width=2), "do not belong together"),
    "truncated": (lambda folder: (f := folder / shard_name(1, 4)).write_bytes(f.read_bytes()[:200]), "cannot be read"),
    "empty file": (lambda folder: (folder / shard_name(1, 4)).write_bytes(b""), "cannot be read"),
    "an array, not an archive": (lambda folder: _write_array(folder / shard_name(0, 4)), "cannot be read"),
    "other type of values": (lambda folder: _replace(folder, values=np.zeros((5, 3))), "expected keys int64"),
    "other type of keys": (lambda folder: _replace(folder, keys=np.zeros(5)), "expected keys int64"),
    "more keys than values": (lambda folder: _replace(folder, keys=np.arange(6)), "expected keys int64"),
    "a number for keys": (lambda folder: _replace(folder, keys=np.int64(1)), "expected keys int64"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_shards_that_are_not_right(tmp_path: Path, fault: str) -> None:
    save_table(make(list(range(20))), tmp_path / "t", shards=4)
    damage, said = FAULTS[fault]
    damage(tmp_path / "t")
    with pytest.raises(FormatError, match=said):
        load_table(tmp_path / "t")


@settings(max_examples=150)
@given(at=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.none() | st.integers(0, 10_000))
@pytest.mark.filterwarnings("ignore")  # numpy and zipfile wonder aloud about damaged headers
def test_damage_is_a_format_error_or_harmless(tmp_path: Path, at: int, value: int, cut: int | None) -> None:
    shutil.rmtree(tmp_path / "t", ignore_errors=True)
    save_table(make([1, 5, 9]), tmp_path / "t", shards=1)
    file = tmp_path / "t" / shard_name(0, 1)
    content = bytearray(file.read_bytes())
    content[at % len(content)] = value
    file.write_bytes(content[: None if cut is None else cut % len(content)])
    try:
        table = load_table(tmp_path / "t")
    except FormatError:
        return
    assert table.values.shape == (3, 3)
