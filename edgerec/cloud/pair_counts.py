"""How often two items were viewed by one user within a short time. Counts are added in batches of any size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
_SMALL = 20_000
"""Up to this number of pairs, recent counts are kept beside the sorted ones. Then they are merged."""


class PairCounts:
    """Counts of ordered pairs of items. An item is a row of the catalogue.

    Most counts are in two sorted arrays. Recent ones are in dictionaries, because merging copies the arrays.

    Args:
        items: number of items.
    """

    def __init__(self, items: int) -> None:
        self._items = max(items, 1)
        self._keys, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._recent: dict[int, dict[int, int]] = {}
        self._recent_pairs = 0

    def add(self, first: Rows, second: Rows) -> None:
        """Count each pair (first[i], second[i]) once more."""
        keys, counts = np.unique(first * self._items + second, return_counts=True)
        if len(keys) > max(_SMALL, len(self._keys)) // 10:
            self._merge(keys, counts)
            return
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            row, other = divmod(key, self._items)
            others = self._recent.setdefault(row, {})
            others[other] = others.get(other, 0) + count
        self._recent_pairs += len(keys)
        if self._recent_pairs > max(_SMALL, len(self._keys) // 10):
            flat = [(row * self._items + other, n) for row, each in self._recent.items() for other, n in each.items()]
            self._recent, self._recent_pairs = {}, 0
            self._merge(*np.array(flat, np.int64).T)

    def of(self, row: int) -> tuple[Rows, Rows]:
        """Return the items (n,) that were viewed together with the item `row`, and how often (n,)."""
        begin, end = self._keys.searchsorted([row * self._items, (row + 1) * self._items])
        others, counts = self._keys[begin:end] - row * self._items, self._counts[begin:end]
        recent = self._recent.get(row)
        if not recent:
            return others, counts
        more = np.array(list(recent.items()), np.int64).T
        return _summed(np.concatenate([others, more[0]]), np.concatenate([counts, more[1]]))

    def _merge(self, keys: Rows, counts: Rows) -> None:
        self._keys, self._counts = _summed(np.concatenate([self._keys, keys]), np.concatenate([self._counts, counts]))


def _summed(keys: Rows, counts: Rows) -> tuple[Rows, Rows]:
    """Return the different keys in ascending order, and the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
    return keys[first], np.add.reduceat(counts, first) if len(first) else counts
