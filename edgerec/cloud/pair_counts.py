"""How often two items were viewed by one user within a short time. Counts are added in batches of any size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgerec.cloud.largest import largest

Rows = NDArray[np.int64]
_SMALL = 20_000
"""Up to this number of pairs, recent counts are kept beside the others. Then they are merged."""
_ANSWERS = 4000
"""Maximum number of answers of `PairCounts.most` that are kept. With a limit of 500 they take up to 32 MB."""


class _Sorted(NamedTuple):
    """Different pairs in ascending order, and the count of each. A pair (a, b) has the key a * items + b."""

    keys: Rows
    counts: Rows

    @classmethod
    def empty(cls) -> _Sorted:
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    def __add__(self, other: _Sorted) -> _Sorted:  # type: ignore[override]
        """Return the sum of the counts of both."""
        if not len(self.keys) or not len(other.keys):
            return other if len(other.keys) else self
        keys = np.concatenate([self.keys, other.keys])
        # Two sorted halves: a stable sort merges them.
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], np.concatenate([self.counts, other.counts])[order]
        first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        return _Sorted(keys[first], np.add.reduceat(counts, first))


class PairCounts:
    """Counts of ordered pairs of items. An item is a row of the catalogue.

    Most counts are in one pair of sorted arrays. Recent ones are in a small pair of their own, because merging copies
    the arrays. The answers of `most` for items with many others are kept until their counts change.

    Args:
        items: number of items.
        limit: maximum number of items that `most` returns.
    """

    def __init__(self, items: int, limit: int = 500) -> None:
        self._items = max(items, 1)
        self._most, self._recent = _Sorted.empty(), _Sorted.empty()
        self._limit = limit
        self._answers: dict[int, tuple[Rows, Rows]] = {}

    def add(self, first: Rows, second: Rows) -> None:
        """Count each pair (first[i], second[i]) once more."""
        self._recent += _Sorted(*np.unique(first * self._items + second, return_counts=True))
        for row in np.unique(first).tolist() if self._answers else ():
            self._answers.pop(row, None)
        if len(self._recent.keys) > max(_SMALL, len(self._most.keys) // 10):
            self._most, self._recent = self._most + self._recent, _Sorted.empty()

    def of(self, row: int) -> tuple[Rows, Rows]:
        """Return the different items (n,) that were viewed together with the item `row`, and how often (n,)."""
        total = _Sorted.empty()
        for others, counts in self.parts(row):
            total += _Sorted(others, counts)
        return total.keys, total.counts

    def most(self, row: int) -> list[tuple[Rows, Rows]]:
        """Return the `limit` items that were viewed together with the item `row` most often, and how often, in parts.

        Of items with equal counts, those with the smallest rows are returned. The parts are those of `parts`.
        """
        answer = self._answers.get(row)
        if answer is None:
            parts = self.parts(row)
            if sum(len(others) for others, _ in parts) <= self._limit:
                return parts
            others, counts = parts[0] if len(parts) == 1 else self.of(row)
            chosen = largest(counts, self._limit)
            answer = others[chosen], counts[chosen]
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            self._answers[row] = answer
        return [answer]

    def parts(self, row: int) -> list[tuple[Rows, Rows]]:
        """Return the same as `of` in one or two parts. An item can be in both; then its counts have to be added.

        This takes less time than `of`.
        """
        found = []
        for keys, counts in (self._most, self._recent):
            begin, end = keys.searchsorted((row * self._items, (row + 1) * self._items)).tolist()
            if begin < end:
                found.append((keys[begin:end] - row * self._items, counts[begin:end]))
        return found
