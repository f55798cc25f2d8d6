"""Embedding tables as npz shards by key range (docs/formats.md).

``shard-00000-of-00008.npz`` and so on, each with ``keys`` (n,) int64 ascending, ``values`` (n, dimension), ``unknown``
(dimension,), the row for every key that the table does not have. The shards' key ranges follow one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerec.core.arrays import load_members
from edgerec.core.errors import FormatError

DEFAULT_SHARDS = 8


@dataclass(frozen=True)
class Table:
    """An embedding table by key.

    Attributes:
        keys: (n,) int64, strictly ascending.
        values: (n, dimension) float32.
        unknown: (dimension,) float32.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.float32]
    unknown: NDArray[np.float32]

    def get_many(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.float32], int]:
        """Rows (m, dimension) of `keys` (m,), and how many of them the table does not have."""
        if not len(self.keys):
            return np.repeat(self.unknown[None, :], len(keys), axis=0), len(keys)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[places] == keys
        rows = np.where(known[:, None], self.values[places], self.unknown)
        return rows, int(len(keys) - known.sum())


def save_table(table: Table, folder: Path, *, shards: int = DEFAULT_SHARDS) -> None:
    """Write `table` into the new folder `folder`, its keys spread evenly. Equal tables give equal bytes."""
    folder.mkdir(parents=True)
    bounds = np.linspace(0, len(table.keys), shards + 1).astype(int)
    for number in range(shards):
        part = slice(bounds[number], bounds[number + 1])
        np.savez(
            folder / shard_name(number, shards),
            keys=table.keys[part],
            values=table.values[part],
            unknown=table.unknown,
        )


def load_table(folder: Path) -> Table:
    """Read all shards of `folder`.

    Raises:
        FormatError: a shard is missing or damaged, or the shards do not belong together.
    """
    files = sorted(folder.glob("shard-*.npz"))
    if not files or [file.name for file in files] != [shard_name(i, len(files)) for i in range(len(files))]:
        raise FormatError(f"embedding table {folder}: shards are missing: export the bundle again")
    parts = [_load_shard(file) for file in files]
    keys = np.concatenate([part.keys for part in parts])
    one_width = len({part.values.shape[1:] for part in parts}) == 1
    one_unknown = one_width and all(np.array_equal(part.unknown, parts[0].unknown) for part in parts)
    if not one_unknown or (len(keys) > 1 and not bool((keys[1:] > keys[:-1]).all())):
        raise FormatError(f"embedding table {folder}: its shards do not belong together: export the bundle again")
    return Table(keys=keys, values=np.concatenate([part.values for part in parts]), unknown=parts[0].unknown)


def shard_name(number: int, shards: int) -> str:
    """``shard-00000-of-00008.npz``."""
    return f"shard-{number:05d}-of-{shards:05d}.npz"


def _load_shard(file: Path) -> Table:
    members = load_members(
        file, ("keys", "values", "unknown"), what="embedding shard", advice="export the bundle again"
    )
    keys, values, unknown = members["keys"], members["values"], members["unknown"]
    shapes = keys.ndim == 1 and values.ndim == 2 and len(keys) == len(values) and unknown.shape == values.shape[1:]
    if not shapes or keys.dtype != np.int64 or values.dtype != np.float32 or unknown.dtype != np.float32:
        raise FormatError(
            f"embedding shard {file}: expected keys int64 (n,), values float32 (n, d), unknown float32 (d,); received "
            f"{keys.dtype} {keys.shape}, {values.dtype} {values.shape}, {unknown.dtype} {unknown.shape}"
        )
    return Table(keys=keys, values=values, unknown=unknown)
