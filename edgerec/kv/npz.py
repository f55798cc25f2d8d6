"""Embedding tables in memory-mapped npz shards (docs/formats.md, docs/embeddings.md).

A shard file, such as ``shard-00000-of-00008.npz``, has three arrays: the ascending ``keys`` (n,) int64, their rows
``values`` (n, dimension), and the row ``unknown`` (dimension,) for all keys that are not in the table. The key ranges
of the shards are ascending and do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.arguments import check_mapping
from edgerec.core.arrays import map_members
from edgerec.core.errors import FormatError
from edgerec.kv.shard_writer import BLOCK_ROWS, ascending, shard_name
from edgerec.kv.store import Keys, Lookup, check_keys, no_table
from edgerec.kv.table_entry import TableEntry

_ADVICE = "export the bundle again"


@dataclass(frozen=True)
class Table:
    """An embedding table in memory, as taken from a model.

    Attributes:
        keys: (n,) int64, strictly ascending.
        values: (n, dimension) float32.
        unknown: (dimension,) float32.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.float32]
    unknown: NDArray[np.float32]


@dataclass(frozen=True)
class _Shard:
    """The keys (n,) int64 and the rows (n, dimension) of one file."""

    keys: NDArray[np.int64]
    values: NDArray[Any]


class NpzTable:
    """The embedding table of one feature. Its files are mapped into memory, so a look-up reads only the requested rows.

    A look-up changes no state, so threads may share an instance. Processes share the memory pages of the files if they
    open the same files or are forked after opening.

    Attributes:
        entry: number of keys, dimension, stored data type and number of shards.
        unknown: the row for keys that are not in the table, (dimension,) float32.
    """

    def __init__(self, shards: Sequence[_Shard], unknown: NDArray[Any], entry: TableEntry) -> None:
        self.entry = entry
        self.unknown = unknown.astype(np.float32)
        self._shards = [shard for shard in shards if len(shard.keys)]
        self._dtype = unknown.dtype
        # Treat a row as one element, so that `take` copies all its bytes at once, even if they are not aligned.
        self._row = np.dtype((np.void, entry.dimension * self._dtype.itemsize))
        self._rows = [shard.values.reshape(-1).view(self._row) for shard in self._shards]
        self._bounds = np.array([shard.keys[0] for shard in self._shards[1:]], np.int64)

    @property
    def dimension(self) -> int:
        """Number of values in a row."""
        return self.entry.dimension

    def get_many(self, keys: Keys) -> Lookup:
        """Look up the rows of `keys` (m,) int64.

        Raises:
            ShapeError: `keys` is not int64 (m,).
        """
        check_keys(keys)
        content = np.empty(len(keys), self._row)
        known = np.zeros(len(keys), np.bool_)
        if len(self._shards) == 1:
            self._take(0, keys, content, known)
        elif self._shards:
            numbers = self._bounds.searchsorted(keys, "right")
            used_shards = np.flatnonzero(np.bincount(numbers, minlength=len(self._shards)))
            for number in used_shards.tolist():
                indices = np.flatnonzero(numbers == number)
                part_content, part_known = np.empty(len(indices), self._row), np.empty(len(indices), np.bool_)
                self._take(number, keys[indices], part_content, part_known)
                content[indices], known[indices] = part_content, part_known
        rows = content.view(self._dtype).reshape(len(keys), self.dimension).astype(np.float32, copy=False)
        missing = np.flatnonzero(~known)
        if len(missing):
            rows[missing] = self.unknown
        return Lookup(rows, known)

    def shard_keys(self) -> Iterator[NDArray[np.int64]]:
        """Yield the keys (b,) of each shard."""
        return (shard.keys for shard in self._shards)

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield all keys (b,) with their stored rows (b, dimension), in blocks of at most `rows` rows."""
        for shard in self._shards:
            for start in range(0, len(shard.keys), rows):
                yield shard.keys[start : start + rows], shard.values[start : start + rows]

    def _take(self, number: int, keys: Keys, out: NDArray[Any], known: NDArray[np.bool_]) -> None:
        stored = self._shards[number].keys
        indices = stored.searchsorted(keys)
        # For a key above the largest stored key, the index is clipped to the last row. The keys then differ.
        np.equal(stored.take(indices, mode="clip"), keys, out=known)
        self._rows[number].take(indices, out=out, mode="clip")


class NpzTables:
    """The tables of one version. Implements `EmbeddingTables`.

    Attributes:
        version_id: id of the model version that the tables belong to.
        spec: the feature specification of the manifest.
        tables: the table of each feature, by the feature's name.
        mixing_columns: the columns of the catalogue that the rules of a mixed feed read.
        mixing_kinds: the kinds of cards of these rules.
    """

    def __init__(
        self,
        version_id: str,
        spec: Mapping[str, Any],
        tables: Mapping[str, NpzTable],
        *,
        mixing_columns: tuple[str, ...] = (),
        mixing_kinds: tuple[str, ...] = (),
    ) -> None:
        self.version_id = version_id
        self.spec = spec
        self.mixing_columns, self.mixing_kinds = mixing_columns, mixing_kinds
        self.tables = dict(tables)

    @property
    def dimensions(self) -> dict[str, int]:
        """The dimension of the rows of each feature's table."""
        return {name: table.dimension for name, table in self.tables.items()}

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        """Look up the rows of each feature's keys, int64 (m,).

        Raises:
            InputError: a feature has no table.
            ShapeError: the keys of a feature are not int64 (m,).
        """
        check_mapping(keys_by_feature, "embedding tables: `keys_by_feature`")
        found = {}
        for feature, keys in keys_by_feature.items():
            table = self.tables.get(feature)
            if table is None:
                raise no_table(feature, self.tables)
            check_keys(keys, feature=feature)
            found[feature] = table.get_many(keys)
        return found


def open_table(folder: Path, *, sums: bool = True, numbers: bool = True) -> NpzTable:
    """Open the table whose shards are in `folder`.

    Args:
        folder: the folder of the shards. It must contain no other file with the name of a shard.
        sums: whether to compare the checksum of every array. This reads all arrays once.
        numbers: whether to check that every number is finite. This reads all numbers once.

    Raises:
        FormatError: a shard is missing or damaged, the shards do not belong together, or `numbers` is true and a
            number is NaN or infinite.
        IntegrityError: `sums` is true and a checksum is wrong.
    """
    files = sorted(folder.glob("shard-*.npz"))
    if not files or [file.name for file in files] != [shard_name(i, len(files)) for i in range(len(files))]:
        raise FormatError(f"embedding table {folder}: shards are missing: {_ADVICE}")
    parts = [_open_shard(file, sums=sums, numbers=numbers) for file in files]
    shards = [shard for shard, _ in parts]
    unknown = parts[0][1]
    alike = all(
        u.dtype == unknown.dtype and u.shape == unknown.shape and u.tobytes() == unknown.tobytes() for _, u in parts
    )
    ends = np.array([end for shard in shards if len(shard.keys) for end in (shard.keys[0], shard.keys[-1])], np.int64)
    if not alike or not bool((ends[2::2] > ends[1:-1:2]).all()):
        raise FormatError(f"embedding table {folder}: its shards do not belong together: {_ADVICE}")
    entry = TableEntry(
        keys=sum(len(shard.keys) for shard in shards),
        dimension=len(unknown),
        dtype="float16" if unknown.dtype == np.float16 else "float32",
        shards=len(files),
    )
    return NpzTable(shards, unknown, entry)


def _open_shard(file: Path, *, sums: bool, numbers: bool) -> tuple[_Shard, NDArray[Any]]:
    """Open the shard in `file`, and return it and its row for unknown keys."""
    names = ("keys", "values", "unknown")
    members = map_members(file, names, what="embedding shard", advice=_ADVICE, sums=sums, numbers=numbers)
    keys, values, unknown = members["keys"], members["values"], members["unknown"]
    shapes = keys.ndim == 1 and values.ndim == 2 and len(keys) == len(values) and unknown.shape == values.shape[1:]
    floats = values.dtype in (np.float32, np.float16) and unknown.dtype == values.dtype
    if not shapes or not len(unknown) or keys.dtype != np.int64 or not floats:
        raise FormatError(
            f"embedding shard {file}: expected keys int64 (n,), values float32 or float16 (n, d), and unknown of the "
            f"same type (d,); received {keys.dtype} {keys.shape}, {values.dtype} {values.shape}, {unknown.dtype} "
            f"{unknown.shape}"
        )
    if not keys.flags.aligned:
        # np.savez may write keys that are not aligned. NumPy would copy them for every search.
        keys = keys.copy()
    if not ascending(keys):
        raise FormatError(f"embedding shard {file}: its keys are not in ascending order: {_ADVICE}")
    return _Shard(keys, values), unknown
