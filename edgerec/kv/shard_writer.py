"""Write an embedding table as a stream of npz shards, one for each range of keys (docs/formats.md)."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgerec.core.errors import InputError, OutputError
from edgerec.kv.table_entry import TableEntry

TableDtype = Literal["float32", "float16"]
SHARD_ROWS = 1 << 20
"""Default number of rows in a shard. Look-ups are faster in few large shards. 1.5 million brands need two."""
BLOCK_ROWS = 1 << 14
MAX_SHARDS = 99_999
ALIGNMENT = 64
MAX_MEMBER_BYTES = 2**31 - 1
"""Maximum size of an array in a shard. In zip files, larger arrays need 64-bit sizes."""

_STORED = {"float32": "<f4", "float16": "<f2"}
_LOCAL_BYTES = 30
"""Length of a local header in a zip file, without the name (APPNOTE.TXT, *.ZIP File Format Specification*, 4.3.7)."""
_PADDING = struct.Struct("<HHH")
_PADDING_ID = 0xD935
"""ID of the extra field that aligns an array in a zip file. Android's tools use the same ID."""


def write_shards(
    folder: Path,
    keys: NDArray[np.int64],
    values: Iterable[NDArray[np.float32]],
    unknown: NDArray[np.float32],
    *,
    dtype: TableDtype = "float32",
    shard_rows: int = SHARD_ROWS,
) -> TableEntry:
    """Write a table as shards into the new folder `folder`. Equal tables give equal bytes, whatever the block lengths.

    Only the keys and one block of rows are in memory at a time.

    Args:
        folder: the folder to create.
        keys: (n,) int64, strictly ascending.
        values: the rows of `keys` in the same order, in blocks (b, dimension) of any length.
        unknown: (dimension,), the row for all other keys.
        dtype: data type of the stored rows. float16 rounds them.
        shard_rows: number of keys in a shard. The last shard may have fewer.

    Returns:
        The table's entry in the manifests.

    Raises:
        InputError: keys, rows or sizes are not as described above, or `dtype` cannot represent a number.
        OutputError: a file cannot be written.
    """
    shards = _count_shards(folder.name, keys, unknown, dtype, shard_rows)
    rows = _RowStream(folder.name, values, dimension=len(unknown), dtype=dtype)
    (stored_unknown,) = rows.stored(unknown[None, :])
    try:
        folder.mkdir(parents=True)
        for number in range(shards):
            shard_keys = keys[number * shard_rows : (number + 1) * shard_rows]
            with (folder / shard_name(number, shards)).open("wb") as file, _StoredWriter(file) as writer:
                writer.write("keys", dtype="<i8", shape=shard_keys.shape, pieces=[shard_keys])
                shape = (len(shard_keys), len(unknown))
                writer.write("values", dtype=_STORED[dtype], shape=shape, pieces=rows.take(len(shard_keys)))
                writer.write("unknown", dtype=_STORED[dtype], shape=unknown.shape, pieces=[stored_unknown])
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"embedding table: cannot write {folder} ({reason}): free some space or write elsewhere"
        ) from None
    rows.check_end()
    return TableEntry(keys=len(keys), dimension=len(unknown), dtype=dtype, shards=shards)


def blocks(values: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield `values` (n, dimension) in blocks of `BLOCK_ROWS` rows."""
    for start in range(0, len(values), BLOCK_ROWS):
        yield values[start : start + BLOCK_ROWS]


def shard_name(number: int, shards: int) -> str:
    """Return the file name of a shard, such as ``shard-00000-of-00008.npz``."""
    return f"shard-{number:05d}-of-{shards:05d}.npz"


def _count_shards(name: str, keys: NDArray[np.int64], unknown: NDArray[np.float32], dtype: str, shard_rows: int) -> int:
    """Check the arguments of `write_shards` and return the number of shards."""
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
    max_rows = MAX_MEMBER_BYTES // (4 * max(2, len(unknown))) - ALLOWANCE
    if min(shard_rows, len(keys)) > max_rows:
        raise InputError(
            f"embedding table {name}: a shard should have at most {max_rows} rows of dimension {len(unknown)}; "
            f"received {shard_rows}: choose a smaller --shard-rows"
        )
    shards = max(1, -(-len(keys) // shard_rows))
    if shards > MAX_SHARDS:
        raise InputError(
            f"embedding table {name}: there should be at most {MAX_SHARDS} shards; {len(keys)} keys make {shards} "
            f"shards of {shard_rows} rows: choose a larger --shard-rows"
        )
    return shards


ALLOWANCE = 1024
"""Number of rows whose bytes are reserved for an array's header."""


def ascending(keys: NDArray[np.int64]) -> bool:
    """Return whether `keys` (n,) are strictly ascending. Blocks of keys are compared, to save memory."""
    return all(
        bool(
            (keys[start + 1 : start + 1 + BLOCK_ROWS] > keys[start : start + BLOCK_ROWS][: len(keys) - start - 1]).all()
        )
        for start in range(0, len(keys) - 1, BLOCK_ROWS)
    )


class _RowStream:
    """A stream of rows. It receives blocks of rows and returns pieces of other lengths."""

    def __init__(self, name: str, values: Iterable[NDArray[np.float32]], *, dimension: int, dtype: str) -> None:
        self._name, self._blocks, self._dimension, self._dtype = name, iter(values), dimension, dtype
        self._rest = np.empty((0, dimension), np.float32)
        self._taken = 0

    def take(self, count: int) -> Iterator[NDArray[Any]]:
        """Yield the next `count` rows in the stored data type, in pieces."""
        while count:
            while not len(self._rest):
                self._next(count)
            piece, self._rest = self._rest[:count], self._rest[count:]
            yield self.stored(piece)
            self._taken += len(piece)
            count -= len(piece)

    def check_end(self) -> None:
        """Check that all rows were read.

        Raises:
            InputError: there are more rows than keys.
        """
        if len(self._rest) or any(len(block) for block in self._blocks):
            raise InputError(
                f"embedding table {self._name}: there are more rows than the {self._taken} keys: "
                "give one row for each key"
            )

    def stored(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        """Return `rows` in the stored data type.

        Raises:
            InputError: the data type cannot represent a number.
        """
        with np.errstate(over="ignore"):
            stored = rows.astype(_STORED[self._dtype], copy=False)
        if not np.isfinite(stored).all():
            worst = rows[~np.isfinite(stored)][0]
            advice = "store them as float32" if np.isfinite(worst) else "train again"
            raise InputError(
                f"embedding table {self._name}: values should be finite {self._dtype} numbers; "
                f"received {worst}: {advice}"
            )
        return stored

    def _next(self, missing: int) -> None:
        block = next(self._blocks, None)
        if block is None:
            raise InputError(
                f"embedding table {self._name}: there are only {self._taken} rows, and {missing} keys have no row: "
                "give one row for each key"
            )
        if block.ndim != 2 or block.shape[1] != self._dimension:
            raise InputError(
                f"embedding table {self._name}: rows should be (b, {self._dimension}); received {block.shape}"
            )
        self._rest = block


class _StoredWriter:
    """Writes an npz file in a `with` block, one array after another. Equal arrays give equal bytes.

    The arrays are not compressed. Each begins on a boundary of 64 bytes, so that it can be mapped into memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)

    def write(self, name: str, *, dtype: str, shape: tuple[int, ...], pieces: Iterable[NDArray[Any]]) -> None:
        """Write the array `name` of `dtype` and `shape`, whose rows come in `pieces`, one after another."""
        header = io.BytesIO()
        npy.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
        # ZipInfo has a fixed date, so equal arrays give equal bytes.
        info = zipfile.ZipInfo(f"{name}.npy")
        padding = -(self._file.tell() + _LOCAL_BYTES + len(info.filename) + _PADDING.size) % ALIGNMENT
        info.extra = _PADDING.pack(_PADDING_ID, 2 + padding, ALIGNMENT) + bytes(padding)
        with self._archive.open(info, "w") as member:
            member.write(header.getvalue())
            for piece in pieces:
                member.write(np.ascontiguousarray(piece, dtype).reshape(-1).view(np.uint8).data)

    def __enter__(self) -> _StoredWriter:
        return self

    def __exit__(self, *_: object) -> None:
        # This writes the directory of the archive. The file stays open.
        self._archive.close()
