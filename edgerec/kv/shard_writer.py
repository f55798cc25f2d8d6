"""Writing an embedding table as npz shards by key range, in a stream (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError, OutputError
from edgerec.kv.stored_npz import MAX_MEMBER_BYTES, StoredWriter
from edgerec.kv.table_entry import TableEntry

TableDtype = Literal["float32", "float16"]
SHARD_ROWS = 1 << 20
"""A look-up's cost grows with the shards that a page hits: 1.5 million brands are two of them."""
BLOCK_ROWS = 1 << 14
MAX_SHARDS = 99_999

_STORED = {"float32": "<f4", "float16": "<f2"}


def write_table(
    folder: Path,
    keys: NDArray[np.int64],
    values: Iterable[NDArray[np.float32]],
    unknown: NDArray[np.float32],
    *,
    dtype: TableDtype = "float32",
    shard_rows: int = SHARD_ROWS,
) -> TableEntry:
    """Write a table into the new folder `folder`. Equal tables give equal bytes, however their rows are cut.

    Only the keys and one block of rows at a time are in memory.

    Args:
        folder: does not exist yet.
        keys: (n,) int64, strictly ascending.
        values: the rows of `keys` in their order, in blocks (b, dimension) of any lengths.
        unknown: (dimension,), the row for every other key.
        dtype: in which rows are stored; float16 rounds them.
        shard_rows: keys a shard; the last one has the rest.

    Returns:
        The table's entry in the manifests.

    Raises:
        InputError: keys, rows or sizes that are not as stated, or a number that `dtype` cannot hold.
        OutputError: a file cannot be written.
    """
    shards = _shards(folder.name, keys, unknown, dtype, shard_rows)
    rows = _Rows(folder.name, values, dimension=len(unknown), dtype=dtype)
    (stored_unknown,) = rows.stored(unknown[None, :])
    try:
        folder.mkdir(parents=True)
        for number in range(shards):
            part = keys[number * shard_rows : (number + 1) * shard_rows]
            with (folder / shard_name(number, shards)).open("wb") as file, StoredWriter(file) as writer:
                writer.write("keys", dtype="<i8", shape=part.shape, pieces=[part])
                shape = (len(part), len(unknown))
                writer.write("values", dtype=_STORED[dtype], shape=shape, pieces=rows.take(len(part)))
                writer.write("unknown", dtype=_STORED[dtype], shape=unknown.shape, pieces=[stored_unknown])
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"embedding table: cannot write {folder} ({reason}): free some space or write elsewhere"
        ) from None
    rows.end()
    return TableEntry(keys=len(keys), dimension=len(unknown), dtype=dtype, shards=shards)


def blocks(values: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """An array (n, dimension) in blocks."""
    for start in range(0, len(values), BLOCK_ROWS):
        yield values[start : start + BLOCK_ROWS]


def shard_name(number: int, shards: int) -> str:
    """``shard-00000-of-00008.npz``."""
    return f"shard-{number:05d}-of-{shards:05d}.npz"


def _shards(name: str, keys: NDArray[np.int64], unknown: NDArray[np.float32], dtype: str, shard_rows: int) -> int:
    """How many shards there will be."""
    if dtype not in _STORED:
        raise InputError(f"embedding tables: dtype should be float32 or float16; received {dtype!r}")
    if shard_rows < 1:
        raise InputError(f"embedding tables: shards should have at least 1 row; received {shard_rows}")
    if keys.ndim != 1 or keys.dtype != np.int64 or not ascending(keys):
        raise InputError(
            f"embedding table {name}: keys should be strictly ascending int64 (n,); received {keys.dtype} {keys.shape}"
        )
    if unknown.ndim != 1 or not len(unknown):
        raise InputError(f"embedding table {name}: unknown should be one row (dimension,); received {unknown.shape}")
    most = MAX_MEMBER_BYTES // (4 * max(2, len(unknown))) - ALLOWANCE
    if min(shard_rows, len(keys)) > most:
        raise InputError(
            f"embedding table {name}: a shard of rows {len(unknown)} wide holds at most {most} of them; received "
            f"{shard_rows}: choose a smaller --shard-rows"
        )
    shards = max(1, -(-len(keys) // shard_rows))
    if shards > MAX_SHARDS:
        raise InputError(
            f"embedding table {name}: {len(keys)} keys make {shards} shards of {shard_rows} rows, more than "
            f"{MAX_SHARDS}: choose a larger --shard-rows"
        )
    return shards


ALLOWANCE = 1024
"""Rows' worth of room for a member's header."""


def ascending(keys: NDArray[np.int64]) -> bool:
    """Whether `keys` (n,) are strictly ascending; a piece of them is looked at, at a time."""
    return all(
        bool(
            (keys[start + 1 : start + 1 + BLOCK_ROWS] > keys[start : start + BLOCK_ROWS][: len(keys) - start - 1]).all()
        )
        for start in range(0, len(keys) - 1, BLOCK_ROWS)
    )


class _Rows:
    """A stream of blocks, cut anew."""

    def __init__(self, name: str, values: Iterable[NDArray[np.float32]], *, dimension: int, dtype: str) -> None:
        self._name, self._blocks, self._dimension, self._dtype = name, iter(values), dimension, dtype
        self._rest = np.empty((0, dimension), np.float32)
        self._taken = 0

    def take(self, count: int) -> Iterator[NDArray[Any]]:
        """The next `count` rows as they are stored, in pieces."""
        while count:
            while not len(self._rest):
                self._next(count)
            piece, self._rest = self._rest[:count], self._rest[count:]
            yield self.stored(piece)
            self._taken += len(piece)
            count -= len(piece)

    def end(self) -> None:
        """Refuse rows that are left.

        Raises:
            InputError: there are more than keys.
        """
        if len(self._rest) or any(len(block) for block in self._blocks):
            raise InputError(f"embedding table {self._name}: there are more rows than its {self._taken} keys")

    def stored(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        """`rows` in the stored type.

        Raises:
            InputError: a number that it cannot hold.
        """
        with np.errstate(over="ignore"):
            stored = rows.astype(_STORED[self._dtype], copy=False)
        if not np.isfinite(stored).all():
            worst = rows[~np.isfinite(stored)][0]
            advice = "store them as float32" if np.isfinite(worst) else "train again"
            raise InputError(f"embedding table {self._name}: {worst} is no number of {self._dtype}: {advice}")
        return stored

    def _next(self, missing: int) -> None:
        block = next(self._blocks, None)
        if block is None:
            raise InputError(f"embedding table {self._name}: rows end after {self._taken}, {missing} keys have none")
        if block.ndim != 2 or block.shape[1] != self._dimension:
            raise InputError(
                f"embedding table {self._name}: rows should be (b, {self._dimension}); received {block.shape}"
            )
        self._rest = block
