"""As-of values that are kept up to date: what happened before an instant, with new events added in batches.

Each batch becomes an index of its own (`edgerec.data.as_of`). An index is merged with the one before if that is less
than twice as large. So the number of indexes is the logarithm of the number of events, and an event is indexed again
only that often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.as_of.facts import COLUMNS, WEIGHT, Facts
from edgerec.data.as_of.keys import ItemKeys, UserEvents
from edgerec.data.as_of.timeline import AsOfInstants, Floats, Integers, Number, Timeline
from edgerec.data.schema import ITEM_ID, TIME, USER_ID


class KnownFacts:
    """What is known of n keys, each before an instant of its own. It sums up what several indexes know."""

    def __init__(self, parts: Sequence[AsOfInstants]) -> None:
        self._parts = parts

    def count(self, within: int | None = None) -> Integers:
        return self._total(lambda part: part.count(within))

    def sum(self, within: int | None = None) -> Floats:
        return self._total(lambda part: part.sum(within))

    def decayed(self, half_life: int) -> Floats:
        return self._total(lambda part: part.decayed(half_life))

    def since_last(self) -> Integers:
        each = np.stack([part.since_last() for part in self._parts])
        latest = np.where(each < 0, np.iinfo(np.int64).max, each).min(axis=0)
        return np.where((each < 0).all(axis=0), -1, latest)

    def since_first(self) -> Integers:
        first: Integers = np.stack([part.since_first() for part in self._parts]).max(axis=0)
        return first

    def _total(self, of: Callable[[AsOfInstants], NDArray[Number]]) -> NDArray[Number]:
        total = of(self._parts[0])
        for part in self._parts[1:]:
            total = total + of(part)
        return total


class PastFacts:
    """All events of one set of facts, in any number of batches.

    Args:
        facts: what is counted.
        keys: the keys of the catalogue.
    """

    def __init__(self, facts: Facts, keys: ItemKeys) -> None:
        self._facts, self._keys = facts, keys
        self._rows: list[pl.DataFrame] = []
        self._indexes: list[Timeline | UserEvents] = []
        types: dict[str, pl.DataType] = {name: pl.Int64() for name in COLUMNS}
        if facts.weight is not None:
            types[WEIGHT] = pl.Float64()
        self._append(pl.DataFrame(schema=types))

    def add(self, events: pl.DataFrame, requests: pl.DataFrame) -> None:
        """Add the facts of checked tables. Events without a column that the facts need add none."""
        if self._facts.fact != "listed" and not set(self._facts.columns()) <= set(events.columns):
            return
        rows = self._facts.rows(events, requests)
        if len(rows):
            self._append(rows)

    def at(self, users: Integers, items: Integers, times: Integers) -> KnownFacts:
        """Return what is known of each user (n,) or item (n,) strictly before each time (n,)."""
        numbers = self._keys.of(self._facts.by, items)
        return KnownFacts(
            [
                index.at(users, numbers, times) if isinstance(index, UserEvents) else index.at(numbers, times)
                for index in self._indexes
            ]
        )

    def _append(self, rows: pl.DataFrame) -> None:
        while self._rows and len(self._rows[-1]) < 2 * len(rows):
            self._indexes.pop()
            rows = pl.concat([self._rows.pop(), rows])
        self._rows.append(rows)
        self._indexes.append(self._index(rows))

    def _index(self, rows: pl.DataFrame) -> Timeline | UserEvents:
        numbers = self._keys.of(self._facts.by, rows[ITEM_ID].to_numpy())
        users, times = rows[USER_ID].to_numpy(), rows[TIME].to_numpy()
        weights = None if self._facts.weight is None else rows[WEIGHT].to_numpy()
        if self._facts.by_user:
            return UserEvents(users, numbers, times, weights)
        has = numbers >= 0
        return Timeline.of(numbers[has], times[has], None if weights is None else weights[has])
