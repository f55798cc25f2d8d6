"""The keys of as-of columns: numbers for items, for values of catalogue columns, and for pairs of these and a user."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import LogsError
from edgerec.data.as_of.past_events import PastEvents, pair_keys
from edgerec.data.as_of.timeline import AsOfInstants, Floats, Integers
from edgerec.data.catalogue import ItemIndex
from edgerec.data.schema import ITEM_ID, ITEMS, USER_ID


class ItemKeys:
    """Gives each item of the catalogue a number for each combination of columns. Equal values have equal numbers."""

    def __init__(self, items: pl.DataFrame) -> None:
        """Args:
        items: the checked catalogue.
        """
        self._items = items
        self._index = ItemIndex.of(items[ITEM_ID].to_numpy())
        self._numbers: dict[tuple[str, ...], Integers] = {}

    def of(self, by: tuple[str, ...], items: NDArray[np.int64]) -> Integers:
        """Return the number of each item ID (n,) for the columns `by`. A user is ignored.

        The number is -1 if a column has no value, or if the catalogue does not have the item.

        Raises:
            LogsError: the catalogue does not have a column.
        """
        columns = tuple(name for name in by if name != USER_ID)
        if columns not in self._numbers:
            self._numbers[columns] = self._number(columns)
        rows = self._index.rows(items)
        numbers: Integers = np.where(rows >= 0, self._numbers[columns][rows], -1)
        return numbers

    def _number(self, columns: tuple[str, ...]) -> Integers:
        items = self._items
        for name in columns:
            if name not in items.columns:
                raise LogsError(
                    f"logs: table {ITEMS!r} has no column {name!r}, which as_of of the specification counts by; its "
                    f"columns are: {', '.join(items.columns)}. Add or rename it"
                )
        if not columns:
            return np.zeros(len(items), np.int64)
        if ITEM_ID in columns:
            columns = (ITEM_ID,)
        values = items.select(columns)
        distinct = values.drop_nulls().unique(maintain_order=True).with_row_index("number of key")
        numbered = values.join(distinct, on=columns, how="left", maintain_order="left")
        numbers: Integers = numbered["number of key"].cast(pl.Int64).fill_null(-1).to_numpy()
        return numbers


class UserEvents:
    """Past events by user and item number."""

    def __init__(self, users: Integers, items: Integers, times: Integers, weights: Floats | None) -> None:
        """Args:
        users: (events,), user IDs.
        items: (events,), numbers of `ItemKeys`. Events with -1 are left out.
        times: (events,), milliseconds.
        weights: (events,), how much each event counts in sums; default: 1.
        """
        known = items >= 0
        self._users, numbers = np.unique(users[known], return_inverse=True)
        pairs = pair_keys(numbers.astype(np.int64), items[known])
        self._past = PastEvents(pairs, times[known], None if weights is None else weights[known])

    def at(self, users: Integers, items: Integers, times: Integers) -> AsOfInstants:
        """Return what is known of each pair of user (n,) and item number (n,) before each time (n,)."""
        if not len(self._users):
            return self._past.at(np.full(len(users), -1, np.int64), times)
        numbers = np.minimum(np.searchsorted(self._users, users), len(self._users) - 1)
        known = (self._users[numbers] == users) & (items >= 0)
        keys = np.full(len(users), -1, np.int64)
        keys[known] = pair_keys(numbers[known], items[known])
        return self._past.at(keys, times)
