"""Counts of numbers that add up part by part, with the quantiles and histograms of them.

Real numbers are counted in bins of fixed edges, because nobody knows their range before the last part is read. A bin is
a number's first eight significant bits, which costs 0.08 us a number. ``np.histogram`` with edges for every float64
costs 0.36 us, and most powers of two are not among the edges that ``np.geomspace`` computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_BITS = 8
"""Significant bits of a bin's lower edge: 128 bins for each power of two."""
PRECISION = 2.0**-_BITS
"""Largest relative error of a quantile of `Numbers`: half the width of a bin, relative to its lower edge."""
_LARGEST = 1e300
_GRID = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
"""Edges in each power of ten of a histogram on a logarithmic scale. Their steps are nearly equal and easy to read."""


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each of some numbers occurred.

    Attributes:
        values: (n,) int64 or float64, ascending and unique.
        counts: (n,) int64, above 0.
    """

    values: NDArray[Any]
    counts: Integers

    @classmethod
    def of(cls, numbers: NDArray[Any]) -> Counts:
        """Count `numbers` (n,)."""
        return cls(*np.unique(numbers, return_counts=True))

    def __add__(self, other: Counts) -> Counts:
        return _summed(np.concatenate([self.values, other.values]), np.concatenate([self.counts, other.counts]))

    @property
    def total(self) -> int:
        """The number of all numbers."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float | None:
        """The mean of whole numbers, or None if there are none."""
        return float((self.values * self.counts).sum() / self.total) if self.total else None

    def capped(self, limit: int) -> Counts:
        """Return the counts after each number above `limit` became `limit`."""
        return _summed(np.minimum(self.values, limit), self.counts)


def _summed(numbers: NDArray[Any], counts: Integers) -> Counts:
    values, index = np.unique(numbers, return_inverse=True)
    summed = np.zeros(len(values), np.int64)
    np.add.at(summed, index, counts)
    return Counts(values, summed)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Counts of real numbers in bins: 128 for each power of two and its negative, one for 0.

    Attributes:
        bins: of the bins' edges that are nearer to 0.
        missing: number of values that were empty.
        whole: whether all numbers are whole.
    """

    bins: Counts
    missing: int
    whole: bool

    @classmethod
    def of(cls, numbers: Floats, *, missing: int = 0) -> Numbers:
        """Count finite `numbers` (n,), beside `missing` values that were empty."""
        mantissas, exponents = np.frexp(numbers)
        edges = np.ldexp(np.trunc(np.ldexp(mantissas, _BITS)), exponents - _BITS)
        return cls(Counts.of(edges), missing, bool((numbers == np.floor(numbers)).all()))

    def __add__(self, other: Numbers) -> Numbers:
        return Numbers(self.bins + other.bins, self.missing + other.missing, self.whole and other.whole)

    def middles(self) -> Counts:
        """Return the counts of the bins' middles, which are off by at most `PRECISION`.

        If all numbers are whole, those below 256 have bins of their own and are exact.
        """
        edges = self.bins.values
        mantissas, exponents = np.frexp(edges)
        halves = np.ldexp(np.sign(mantissas), exponents - _BITS - 1)
        exact = self.whole & (np.abs(edges) < 2**_BITS)
        return Counts(np.where(exact, edges, edges + halves), self.bins.counts)


def quantile(counts: Counts, share: float) -> float | None:
    """Return the `share` quantile, or None if there are no numbers.

    It is the smallest number that at least `share` of all numbers do not exceed.
    """
    if not counts.total:
        return None
    # Rounded, because 0.9 of 10 would be more than 9.
    needed = max(math.ceil(round(share * counts.total, 6)), 1)
    return _plain(float(counts.values[np.searchsorted(np.cumsum(counts.counts), needed)]))


def common_edges(distributions: Sequence[Counts], *, whole: bool, most: int = 24) -> list[float]:
    """Return common edges for histograms of `distributions`, from the lowest 0.1 % to the highest 99.9 % quantile.

    The scale is logarithmic (0 and the steps of `_GRID`) if the upper end is more than ten times the least median and
    nothing is negative. Else there are at most `most` equal steps.

    Args:
        distributions: those without a value have no influence.
        whole: all values are whole numbers, so every edge is one.
        most: largest number of bins on an even scale.
    """
    ends = [[quantile(each, share) for share in (0.001, 0.5, 0.999)] for each in distributions]
    lows, middles, highs = ([value for value in column if value is not None] for column in zip(*ends, strict=True))
    if not lows:
        return []
    # The arithmetic of edges would overflow near the largest float. The outer bars count what lies there.
    low, high = (min(max(end, -_LARGEST), _LARGEST) for end in (min(lows), max(highs)))
    least = min(_least_positive(each) for each in distributions)
    if low >= 0 and high > 10 * max(min(middles), least):
        return [0.0, *_logarithmic(max(least, high * 1e-6), high, whole=whole)]
    return _even(low, high, most=most, whole=whole)


def _least_positive(counts: Counts) -> float:
    above = counts.values[counts.values > 0]
    return float(above[0]) if len(above) else math.inf


def _logarithmic(low: float, high: float, *, whole: bool) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # The text is parsed, because 3 * 10 ** -1 is not 0.3.
    grid = [float(f"{step}e{power}") for power in powers for step in _GRID]
    if whole:
        grid = [edge for edge in grid if edge >= 1 and edge == math.floor(edge)]
    first = max((edge for edge in grid if edge <= low), default=grid[0])
    last = min(edge for edge in grid if edge > high)
    return [edge for edge in grid if first <= edge <= last]


def _even(low: float, high: float, *, most: int, whole: bool) -> list[float]:
    # If there is one value only, the span is as wide as its bin.
    span = max(high - low, 1.0 if whole else PRECISION * abs(high))
    span = span if span > 1 / _LARGEST else 1.0
    power = math.floor(math.log10(span / most))
    steps = [float(f"{step}e{exponent}") for exponent in (power, power + 1, power + 2) for step in (1, 2, 5)]
    step = next(step for step in steps if span / step <= most and (not whole or step >= 1))
    first, last = math.floor(low / step), math.floor(high / step) + 1
    # 3 * 0.1 is not 0.3.
    return [round(index * step, max(2 - power, 0)) for index in range(first, last + 1)]


def histogram(counts: Counts, edges: Sequence[float]) -> list[dict[str, Any]]:
    """Return rows `from`, `to`, `count` of the intervals ``[from, to)``.

    The outer intervals also count what is beyond the edges.

    Args:
        counts: what to count.
        edges: at least two, ascending; or none for no rows.
    """
    if len(edges) < 2:
        return []
    # The last bar of NumPy's histogram includes its upper edge.
    bars, _ = np.histogram(np.clip(counts.values, edges[0], edges[-1]), edges, weights=counts.counts)
    return [
        {"from": _plain(low), "to": _plain(high), "count": count}
        for low, high, count in zip(edges, edges[1:], bars.tolist(), strict=False)
    ]


def _plain(number: float) -> float:
    """Return an int for a whole number: 80 for 80.0."""
    return int(number) if abs(number) < 2**53 and number.is_integer() else number


def shares_by_tenth(counts: Counts) -> list[float]:
    """Return the share (10,) of the sum that each tenth of the numbers has, the smallest first; [] if the sum is 0.

    Equal numbers on both sides of a tenth's border are divided in proportion (the Lorenz curve, read at tenths).
    """
    mass = np.cumsum(counts.values * counts.counts)
    if not len(mass) or mass[-1] == 0:
        return []
    people = np.cumsum(counts.counts)
    curve = np.interp(np.arange(11) / 10 * people[-1], [0, *people], [0, *mass])
    return [float(share) for share in np.diff(curve) / mass[-1]]
