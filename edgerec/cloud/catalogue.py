"""The catalogue in memory: raw values of items, and the keys of their embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.casting import is_text
from edgerec.data.catalogue import ItemIndex
from edgerec.data.schema import ITEM_ID
from edgerec.features.vocabulary import MISSING_ID
from edgerec.paging.columns import MISSING_BOOLEAN, MISSING_INTEGER, ColumnArray


def _column(series: pl.Series) -> ColumnArray:
    """Return a column of the catalogue as pages have it."""
    if is_text(series.dtype):
        words = series.cast(pl.String).unique(maintain_order=True).drop_nulls()
        codes = series.cast(pl.String).replace_strict(words, np.arange(len(words)), return_dtype=pl.Int32)
        return ColumnArray("strings", codes.fill_null(-1).to_numpy(), words.to_list())
    if series.dtype == pl.Boolean:
        return ColumnArray("booleans", series.cast(pl.Int8).fill_null(MISSING_BOOLEAN).to_numpy())
    if series.dtype.is_integer() and series.dtype != pl.UInt64:
        return ColumnArray("integers", series.cast(pl.Int64).fill_null(MISSING_INTEGER).to_numpy())
    # A page has no decimals and no UInt64. A feature reads such values as numbers.
    return ColumnArray("numbers", series.cast(pl.Float64).fill_null(float("nan")).to_numpy())


class Catalogue:
    """The items that the cloud knows. Items have rows 0, 1, 2, ... in ascending order of their IDs.

    Args:
        items: the catalogue with all of its columns, sorted by `item_id`.

    Attributes:
        ids: (items,) int64, the ID of each row.
    """

    def __init__(self, items: pl.DataFrame) -> None:
        self.items = items
        self.ids: NDArray[np.int64] = items[ITEM_ID].to_numpy()
        self._index = ItemIndex.of(self.ids)
        self._columns: dict[str, ColumnArray] = {}
        self._keys: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, item_ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the row of each item (n,), or -1 for an item that is not in the catalogue."""
        return self._index.rows(np.asarray(item_ids, np.int64))

    def load(self, columns: Iterable[str]) -> None:
        """Load columns for `values`."""
        for name in columns:
            self._columns.setdefault(name, _column(self.items[name]))

    def values(self, column: str, rows: NDArray[np.int32]) -> ColumnArray:
        """Return the raw values (n,) of the items in `rows` (n,).

        `load` must have loaded the column.
        """
        return self._columns[column].take(rows)

    def load_keys(self, columns: Iterable[str]) -> None:
        """Load columns of integers for `keys`."""
        for name in columns:
            self._keys[name] = self.items[name].cast(pl.Int64).fill_null(MISSING_ID).to_numpy()

    def keys(self, column: str, rows: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the keys (n,) of the items in `rows` (n,). `load_keys` must have loaded the column."""
        taken: NDArray[np.int64] = self._keys[column].take(rows)
        return taken
