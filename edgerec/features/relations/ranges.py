"""The behaviours of each candidate or request as ranges, and one value over each range."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Ranges:
    """The behaviours of each of m candidates or requests.

    Args:
        order: (n,) indices of behaviours. The behaviours of a row are a range of it, oldest first.
        start, stop: (m,) the range of each row in `order`.

    Attributes:
        count: (m,) the number of behaviours of each row.
        none: (m,) whether a row has no behaviour.
    """

    def __init__(self, order: Integers, start: Integers, stop: Integers) -> None:
        self._order, self._start, self._stop = order, start, stop
        self.count = stop - start
        self.none: Bools = self.count == 0

    @cached_property
    def last(self) -> Integers:
        """(m,) the latest behaviour of each row. A row without behaviours has any index."""
        if not len(self._order):
            return np.zeros(len(self.count), np.int64)
        return self._order.take(self._stop - 1, mode="clip")

    def value(self, over: str, numbers: Floats) -> Floats:
        """Return one value (m,) of the numbers in each range, or NaN if there is none.

        Args:
            over: `last`, `mean`, `min` or `max`.
            numbers: (n,) the number of each behaviour. NaN stands for a missing number, which is left out.
        """
        missing = np.isnan(numbers)
        known = self._without(missing) if missing.any() else self
        if not len(known._order):
            return np.full(len(self.count), np.nan)
        if over == "last":
            found: Floats = numbers[known.last]
        elif over == "mean":
            found = known._mean(numbers)
        else:
            found = known._extreme(np.minimum if over == "min" else np.maximum, numbers)
        np.putmask(found, known.none, np.nan)
        return found

    def _without(self, missing: Bools) -> Ranges:
        kept = ~missing[self._order]
        before = np.concatenate([[0], kept.cumsum()])
        return Ranges(self._order[kept], before[self._start], before[self._stop])

    def _mean(self, numbers: Floats) -> Floats:
        row, behaviour = self._pairs
        # `bincount` adds one number after the other. So the sum has the same bits for one request and for many.
        total = np.bincount(row, numbers[behaviour], len(self.count))
        mean: Floats = total / np.maximum(self.count, 1)
        return mean

    def _extreme(self, extreme: np.ufunc, numbers: Floats) -> Floats:
        found = np.zeros(len(self.count))
        rows = self.count.nonzero()[0]
        if len(rows):
            starts = (self.count.cumsum() - self.count)[rows]
            # Adding 0.0 turns -0.0 into 0.0: which of the two is the smaller one depends on their order.
            found[rows] = extreme.reduceat(numbers[self._pairs[1]], starts) + 0.0
        return found

    @cached_property
    def _pairs(self) -> tuple[Integers, Integers]:
        """Each pair of a row and a behaviour in its range. The behaviours of a row have the latest one first."""
        stops = self.count.cumsum()
        row = np.arange(len(stops)).repeat(self.count)
        position = (self._start + stops - 1)[row] - np.arange(len(row))
        return row, self._order[position]
