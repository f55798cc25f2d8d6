"""Where each item stands in the catalogue: from identities to rows, by the million."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPARSE = 8
"""A table that has a place for every identity of the range may be so many times as long as the catalogue."""


@dataclass(frozen=True)
class ItemIndex:
    """Rows of the catalogue by identity.

    Attributes:
        ids: (n,) int64, strictly ascending.
        table: (last - first + 1,) int32, row of each identity of the range, -1 where there is none; empty where the
            identities lie so far apart that they are searched instead.
    """

    ids: NDArray[np.int64]
    table: NDArray[np.int32]

    @classmethod
    def of(cls, ids: NDArray[np.int64]) -> ItemIndex:
        """The index of `ids` (n,), strictly ascending."""
        table = np.empty(0, np.int32)
        if len(ids) and int(ids[-1]) - int(ids[0]) < _SPARSE * len(ids) + 1024:
            table = np.full(int(ids[-1]) - int(ids[0]) + 1, -1, np.int32)
            table[ids - ids[0]] = np.arange(len(ids), dtype=np.int32)
        return cls(ids, table)

    def rows(self, ids: NDArray[Any]) -> NDArray[np.int32]:
        """Rows (n,) of identities (n,) int64; -1 where the catalogue does not have them."""
        if not len(self.ids) or not len(ids):
            return np.full(len(ids), -1, np.int32)
        if not len(self.table):
            found = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            return np.where(self.ids[found] == ids, found, -1).astype(np.int32)
        first, last = self.ids[0], self.ids[-1]
        if ids.min() >= first and ids.max() <= last:
            rows: NDArray[np.int32] = self.table[ids - first]
            return rows
        inside = (ids >= first) & (ids <= last)
        return np.where(inside, self.table[np.where(inside, ids - first, 0)], np.int32(-1))
