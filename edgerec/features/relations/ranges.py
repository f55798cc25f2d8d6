"""The behaviours of each candidate or request as ranges, and one value over each range."""

from __future__ import annotations

from typing import Any

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
    """

    def __init__(self, order: Integers, start: Integers, stop: Integers) -> None:
        self._order, self._start, self._stop = order, start, stop
        self._pairs: tuple[Integers, Integers] | None = None

    def count(self) -> Integers:
        """Return the number (m,) of behaviours of each row."""
        return self._stop - self._start

    def value(self, over: str, numbers: Floats, missing: Bools | None) -> Floats:
        """Return one value (m,) of the numbers in each range, or NaN if there is none.

        Args:
            over: `last`, `mean`, `min` or `max`.
            numbers: (n,) the number of each behaviour.
            missing: (n,) whether the number is missing and left out, or None if no number is missing.
        """
        known = self if missing is None or not missing.any() else self._without(missing)
        if not len(known._order):
            return np.full(len(self._start), np.nan)
        if over == "mean":
            return known._mean(numbers)
        if over == "last":
            found: Floats = numbers.take(known._order.take(known._stop - 1, mode="clip"))
        else:
            found = known._extreme(np.minimum if over == "min" else np.maximum, numbers)
        np.putmask(found, known._stop == known._start, np.nan)
        return found

    def _without(self, missing: Bools) -> Ranges:
        kept = ~missing.take(self._order)
        before = np.concatenate([[0], kept.cumsum()])
        return Ranges(self._order[kept], before[self._start], before[self._stop])

    def _mean(self, numbers: Floats) -> Floats:
        row, behaviour = self._each()
        # `bincount` adds one number after the other. So the sum has the same bits for one request and for many.
        return divide(np.bincount(row, numbers.take(behaviour), len(self._start)), self.count())

    def _extreme(self, extreme: np.ufunc, numbers: Floats) -> Floats:
        count = self.count()
        found = np.zeros(len(count))
        rows = count.nonzero()[0]
        if len(rows):
            starts = (count.cumsum() - count)[rows]
            # Adding 0.0 turns -0.0 into 0.0: which of the two is the smaller one depends on their order.
            found[rows] = extreme.reduceat(numbers.take(self._each()[1]), starts) + 0.0
        return found

    def _each(self) -> tuple[Integers, Integers]:
        """Return each pair of a row and a behaviour in its range. The behaviours of a row have the latest one first."""
        if self._pairs is None:
            if len(self._start) == 1:  # This takes a third of the time.
                start, stop = self._start.item(), self._stop.item()
                row, position = np.zeros(stop - start, np.int64), np.arange(stop - 1, start - 1, -1)
            else:
                count = self.count()
                row = np.arange(len(count)).repeat(count)
                position = (self._start + count.cumsum() - 1).take(row) - np.arange(len(row))
            self._pairs = row, self._order.take(position)
        return self._pairs


def divide(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    """Return the quotients. NaN stands for a division by 0."""
    quotient: Floats = one / np.where(other == 0, np.nan, other)
    return quotient
