"""An index of the catalogue. It finds the rows of millions of item IDs quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPARSE = 8
"""About the largest length of `ItemIndex.table`, as a multiple of the number of items."""


@dataclass(frozen=True)
class ItemIndex:
    """The row of each item ID in the catalogue.

    Attributes:
        ids: (n,) int64, the IDs, strictly ascending.
        table: (last ID - first ID + 1,) int32. Entry `i` is the row of the item with the ID ``first ID + i``, or -1 if
            no item has this ID. The table is empty if it would be too long. Then `ids` is searched.
    """

    ids: NDArray[np.int64]
    table: NDArray[np.int32]

    @classmethod
    def of(cls, ids: NDArray[np.int64]) -> ItemIndex:
        """Return the index of `ids` (n,), which are strictly ascending."""
        table = np.empty(0, np.int32)
        if len(ids) and int(ids[-1]) - int(ids[0]) < _SPARSE * len(ids) + 1024:
            table = np.full(int(ids[-1]) - int(ids[0]) + 1, -1, np.int32)
            table[ids - ids[0]] = np.arange(len(ids), dtype=np.int32)
        return cls(ids, table)

    def rows(self, ids: NDArray[Any]) -> NDArray[np.int32]:
        """Return the row of each ID, or -1 if the ID is not in the catalogue. `ids` is int64; shapes (n,)."""
        if not len(self.ids) or not len(ids):
            return np.full(len(ids), -1, np.int32)
        if not len(self.table):
            indices = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
            return np.where(self.ids[indices] == ids, indices, -1).astype(np.int32)
        first, last = self.ids[0], self.ids[-1]
        if ids.min() >= first and ids.max() <= last:
            rows: NDArray[np.int32] = self.table[ids - first]
            return rows
        inside = (ids >= first) & (ids <= last)
        return np.where(inside, self.table[np.where(inside, ids - first, 0)], np.int32(-1))
