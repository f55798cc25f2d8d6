from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import InputError, OutputError
from edgerec.kv.npz import open_table
from edgerec.kv.shard_writer import ascending, shard_name, write_shards
from edgerec.kv.table_entry import TableEntry
from tests.kv.tables import make, write


def test_shards_are_consecutive_ranges_of_keys(tmp_path: Path) -> None:
    table = make(range(0, 100, 5))
    assert write(table, tmp_path / "t", shard_rows=8) == TableEntry(keys=20, dimension=3, dtype="float32", shards=3)
    assert [file.name for file in sorted((tmp_path / "t").iterdir())] == [
        "shard-00000-of-00003.npz", "shard-00001-of-00003.npz", "shard-00002-of-00003.npz",
    ]  # fmt: skip
    parts = [np.load(tmp_path / "t" / shard_name(i, 3)) for i in range(3)]
    assert [len(part["keys"]) for part in parts] == [8, 8, 4]
    # NumPy can read the written shards.
    np.testing.assert_array_equal(np.concatenate([part["keys"] for part in parts]), table.keys)
    np.testing.assert_array_equal(np.concatenate([part["values"] for part in parts]), table.values)
    for part in parts:
        np.testing.assert_array_equal(part["unknown"], table.unknown)
        assert part.zip.testzip() is None
        part.close()


def test_equal_tables_have_equal_bytes_for_any_block_length(tmp_path: Path) -> None:
    table = make(range(50))
    for block in (1, 7, 50):
        write(table, tmp_path / str(block), block=block, shard_rows=20)
    for number in range(3):
        contents = {(tmp_path / str(block) / shard_name(number, 3)).read_bytes() for block in (1, 7, 50)}
        assert len(contents) == 1


def test_every_array_is_aligned_to_64_bytes(tmp_path: Path) -> None:
    for width in (1, 3, 40):
        for dtype in ("float32", "float16"):
            folder = tmp_path / f"{width}{dtype}"
            table = make(range(21), width=width)
            write(table, folder, dtype=dtype, shard_rows=5)  # type: ignore[arg-type]
            for file in folder.iterdir():
                content = file.read_bytes()
                for first in (b"'<i8'", b"'<f4'" if dtype == "float32" else b"'<f2'"):
                    assert content.count(first) in (1, 2)
                    assert (content.index(b"\n", content.index(first)) + 1) % 64 == 0


def test_float16_tables_hold_rounded_rows(tmp_path: Path) -> None:
    table = make(range(30))
    assert write(table, tmp_path / "t", dtype="float16", shard_rows=9).dtype == "float16"
    rows, known = open_table(tmp_path / "t").get_many(np.append(table.keys, 99))
    assert (rows.dtype, known.tolist()) == (np.float32, [True] * len(table.keys) + [False])
    np.testing.assert_array_equal(rows[:-1], table.values.astype(np.float16))
    np.testing.assert_array_equal(rows[-1], table.unknown.astype(np.float16))
    assert (rows[:-1] != table.values).any()
    full = write(table, tmp_path / "full", shard_rows=9)
    sizes = [sum(file.stat().st_size for file in (tmp_path / name).iterdir()) for name in ("t", "full")]
    assert full.shards == 4
    assert sizes[0] < sizes[1]


ONE = np.zeros((1, 2), np.float32)
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "descending": ({"keys": np.array([2, 1])}, "strictly ascending"),
    "duplicate keys": ({"keys": np.array([1, 1])}, "strictly ascending"),
    "keys of another type": ({"keys": np.array([1.0, 2.0])}, "received float64"),
    "one row is missing": ({"values": [ONE]}, "there are only 1 rows, and 1 keys have no row"),
    "one row more than keys": ({"values": [ONE, ONE, ONE]}, "more rows than the 2 keys"),
    "rows of another width": ({"values": [np.zeros((2, 3), np.float32)]}, r"should be \(b, 2\)"),
    "NaN": ({"values": [ONE, ONE * np.nan]}, "finite float32 numbers; received nan: train again"),
    "too large for float16": (
        {"values": [ONE, ONE + 7e4], "dtype": "float16"},
        "finite float16 numbers; received 70000.0: store",
    ),
    "an infinite unknown row": ({"unknown": np.array([0, np.inf], np.float32)}, "received inf"),
    "an empty unknown row": ({"unknown": np.zeros(0, np.float32)}, "one row"),
    "another type": ({"dtype": "float64"}, "float32 or float16; received 'float64'"),
    "no rows in a shard": ({"shard_rows": 0}, "at least 1 row"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_invalid_arguments_are_refused(tmp_path: Path, fault: str) -> None:
    change, message = FAULTS[fault]
    valid: dict[str, Any] = {"keys": np.array([1, 2]), "values": [ONE, ONE], "unknown": np.zeros(2, np.float32)}
    write_shards(tmp_path / "right", **valid)
    with pytest.raises(InputError, match=message):
        write_shards(tmp_path / "t", **{**valid, **change})


def test_too_many_or_too_large_shards_are_refused(tmp_path: Path) -> None:
    keys = np.arange(200_000)
    with pytest.raises(InputError, match="make 200000 shards of 1 rows"):
        write_shards(tmp_path / "t", keys, [], np.zeros(2, np.float32), shard_rows=1)
    with pytest.raises(InputError, match="choose a smaller --shard-rows"):
        write_shards(tmp_path / "t", keys, [], np.zeros(4000, np.float32))
    assert not (tmp_path / "t").exists()


def test_a_folder_that_cannot_be_written_raises_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write(make([1]), tmp_path / "file" / "t")


def test_ascending_also_compares_keys_of_different_blocks() -> None:
    keys = np.arange(3 * (1 << 14) + 5)
    assert ascending(keys)
    for index in (1, (1 << 14) - 1, 1 << 14, (1 << 14) + 1, 2 << 14, len(keys) - 1):
        broken = keys.copy()
        broken[index] = broken[index - 1]
        assert not ascending(broken), index
    assert ascending(keys[:0])
    assert ascending(keys[:1])


def test_a_large_table_needs_little_memory(tmp_path: Path) -> None:
    """1.5 million rows of dimension 40 are 240 MB. Only the keys and one block of rows should be in memory."""
    script = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from edgerec.kv.shard_writer import write_shards\n"
        "n, block = 1_500_000, np.ones((10_000, 40), np.float32)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "write_shards(Path(sys.argv[1]), np.arange(n), (block for _ in range(150)), np.zeros(40, np.float32))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "t"], capture_output=True, text=True, check=True)
    assert sum(file.stat().st_size for file in (tmp_path / "t").iterdir()) > 250e6
    assert int(done.stdout) * 1024 < 50e6
