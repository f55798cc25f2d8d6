"""The candidates of many requests in flat arrays, and their orders by a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CandidateLists:
    """The lists of candidates of requests, one after the other.

    Attributes:
        offsets: (requests + 1,), where each list begins and ends.
    """

    offsets: Integers

    @classmethod
    def of(cls, lists: pl.Series) -> CandidateLists:
        """Return the lists of a column."""
        return cls(np.concatenate([[0], np.cumsum(lists.list.len().to_numpy())]).astype(np.int64))

    @property
    def lengths(self) -> Integers:
        """Number of candidates of each request (requests,)."""
        return np.diff(self.offsets)

    def orders(self, scores: Floats) -> Integers:
        """Return the positions of all candidates, the best one of each list first. Shape (candidates,).

        Candidates with equal scores keep their order, as on the device. A NaN is after all numbers.
        """
        request = np.repeat(np.arange(len(self.lengths)), self.lengths)
        order = np.lexsort((-scores, request))
        positions: Integers = order - self.offsets[request]
        return positions

    def ranks(self, orders: Integers) -> Integers:
        """Return the rank of each candidate, from 0, in the orders that `orders` returned. Shape (candidates,)."""
        start = np.repeat(self.offsets[:-1], self.lengths)
        ranks = np.empty_like(orders)
        ranks[start + orders] = np.arange(len(orders)) - start
        return ranks

    def first(self, flat: NDArray[Any], count: int) -> NDArray[Any]:
        """Return the first `count` values of each list, with -1 after a shorter list. Shape (requests, count)."""
        index = self.offsets[:-1, None] + np.arange(count)
        inside = np.arange(count) < self.lengths[:, None]
        return np.where(inside, flat[np.where(inside, index, 0)], -1)

    def take(self, flat: NDArray[Any], requests: Integers, positions: Integers) -> NDArray[Any]:
        """Return the values of candidates by request (n,) and position (n,) or (n, k)."""
        start = self.offsets[requests]
        found: NDArray[Any] = flat[(start if positions.ndim == 1 else start[:, None]) + positions]
        return found
