"""The catalogue in memory: raw values of items, and the keys of their embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.casting import is_text
from edgerec.data.catalogue import ItemIndex
from edgerec.data.schema import ITEM_ID
from edgerec.features.vocabulary import MISSING_ID


@dataclass(frozen=True)
class _Column:
    """One column of the catalogue.

    Attributes:
        values: (items,), the values; for strings, the index of each in `words`.
        missing: (items,), which items have no value; None if all have one.
        words: the different strings; None for numbers.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None
    words: NDArray[Any] | None

    @classmethod
    def of(cls, series: pl.Series) -> _Column:
        missing = series.is_null().to_numpy() if series.null_count() else None
        if is_text(series.dtype):
            words = series.cast(pl.String).unique(maintain_order=True).drop_nulls()
            codes = series.cast(pl.String).replace_strict(words, np.arange(len(words)), return_dtype=pl.Int32)
            return cls(codes.fill_null(0).to_numpy(), missing, np.array([*words, None], object))
        if series.dtype in (pl.Null, pl.UInt64) or series.dtype.is_decimal():
            # A page has no such types. A feature reads these values as numbers.
            series = series.cast(pl.Float64)
        zero = False if series.dtype == pl.Boolean else 0
        return cls(series.fill_null(zero).to_numpy(), missing, None)

    def take(self, rows: NDArray[np.int32]) -> list[Any]:
        """Return the values (n,) of the items in `rows` (n,). A missing value is None."""
        values = self.values.take(rows)
        if self.words is not None:
            values = self.words.take(values)
        if self.missing is not None:
            missing = self.missing.take(rows)
            if missing.any():
                values = values.astype(object)
                values[missing] = None
        taken: list[Any] = values.tolist()
        return taken


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
        self._columns: dict[str, _Column] = {}
        self._keys: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, item_ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the row of each item (n,), or -1 for an item that is not in the catalogue."""
        return self._index.rows(np.asarray(item_ids, np.int64))

    def load(self, columns: Iterable[str]) -> None:
        """Load columns for `values`."""
        for name in columns:
            self._columns.setdefault(name, _Column.of(self.items[name]))

    def values(self, column: str, rows: NDArray[np.int32]) -> list[Any]:
        """Return the raw values (n,) of the items in `rows` (n,). A missing value is None.

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
