"""Counts of numbers that can be added up part by part, and quantiles and histograms read from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_DROPPED_BITS = 45
"""Of the 52 bits of a float's mantissa: 7 are kept, 128 bins for each power of two."""
PRECISION = 2.0**-8
"""Largest relative error of a quantile of `Numbers`: half a bin's width by its lower edge."""
_LARGEST = 1e300
_GRID = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
"""Edges within each power of ten of a histogram on a logarithmic scale: evenly enough, and easy to read."""


class Distribution(Protocol):
    """What quantiles and histograms are read from."""

    def support(self) -> tuple[Floats, Integers]:
        """Ascending values (n,) and how often each occurred (n,)."""


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each of some whole numbers occurred; exact.

    Attributes:
        values: (n,) ascending and unique.
        counts: (n,) of each, above 0.
    """

    values: Integers
    counts: Integers

    @classmethod
    def of(cls, numbers: Integers) -> Counts:
        values, counts = np.unique(numbers, return_counts=True)
        return cls(values.astype(np.int64), counts.astype(np.int64))

    def __add__(self, other: Counts) -> Counts:
        values, places = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return Counts(values, counts)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float | None:
        """None of nothing."""
        return float((self.values * self.counts).sum() / self.total) if self.total else None

    def capped(self, limit: int) -> Counts:
        """Each number above `limit` as `limit`."""
        below = self.values < limit
        rest = int(self.counts[~below].sum())
        tail = [limit] if rest else []
        return Counts(
            np.concatenate([self.values[below], np.array(tail, np.int64)]),
            np.concatenate([self.counts[below], np.array([rest] * len(tail), np.int64)]),
        )

    def support(self) -> tuple[Floats, Integers]:
        return self.values.astype(np.float64), self.counts


@dataclass(frozen=True, eq=False)
class Numbers:
    """A distribution of real numbers in bins of fixed edges: 128 for each power of two, one for 0, negatives mirrored.

    A number's bin is its sign and the first bits of its float64, so that no logarithm is rounded and equal numbers
    fall into equal bins everywhere. A bin stands for its middle, at most `PRECISION` off; where all numbers are whole,
    those below 256 have bins of their own and are exact.

    Attributes:
        bins: by signed number of the bin.
        missing: values that were empty.
        whole: no number had a fraction.
    """

    bins: Counts
    missing: int
    whole: bool

    @classmethod
    def of(cls, numbers: Floats, *, missing: int = 0) -> Numbers:
        """Args:
        numbers: (n,) finite.
        missing: how many more were empty.
        """
        magnitude = np.abs(numbers).view(np.int64) >> _DROPPED_BITS
        bins = Counts.of(np.where(numbers < 0, -magnitude, magnitude))
        return cls(bins, missing, bool((numbers == np.floor(numbers)).all()))

    def __add__(self, other: Numbers) -> Numbers:
        return Numbers(self.bins + other.bins, self.missing + other.missing, self.whole and other.whole)

    def support(self) -> tuple[Floats, Integers]:
        bits = np.abs(self.bins.values) << _DROPPED_BITS
        edges = bits.view(np.float64)
        # The first dropped bit is half a bin.
        middles = (bits | (1 << (_DROPPED_BITS - 1))).view(np.float64)
        exact = (edges == 0) | (self.whole & (edges < 2**8))
        return np.where(self.bins.values < 0, -1.0, 1.0) * np.where(exact, edges, middles), self.bins.counts


def quantile(distribution: Distribution, share: float) -> float | None:
    """The smallest value that at least `share` of all do not exceed, whole where it is; None of nothing."""
    values, counts = distribution.support()
    if not len(values):
        return None
    # Rounded, or 0.9 of 10 would need ten where nine are enough.
    needed = max(math.ceil(round(share * int(counts.sum()), 6)), 1)
    return _plain(float(values[np.searchsorted(np.cumsum(counts), needed)]))


def common_edges(distributions: Sequence[Distribution], *, whole: bool, most: int = 24) -> list[float]:
    """Edges of histograms that set `distributions` side by side, from the 0.1 % to the 99.9 % quantile of any.

    On a logarithmic scale (the steps of `_GRID`, from 0 on) where the upper end is more than ten times the least
    median and nothing is negative; else even steps, at most `most`.

    Args:
        distributions: those without a value are passed over.
        whole: the values are whole numbers: no edge lies between two of them.
        most: bins on an even scale.
    """
    ends = [[quantile(each, share) for share in (0.001, 0.5, 0.999)] for each in distributions]
    lows, middles, highs = ([value for value in column if value is not None] for column in zip(*ends, strict=True))
    if not lows:
        return []
    # Near the largest float the arithmetic of edges would overflow; what lies there is in the outer bars.
    low, high = (min(max(end, -_LARGEST), _LARGEST) for end in (min(lows), max(highs)))
    least = min(_least_positive(each) for each in distributions)
    if low >= 0 and high > 10 * max(min(middles), least):
        return [0.0, *_logarithmic(max(least, high * 1e-6), high, whole=whole)]
    return _even(low, high, most=most, whole=whole)


def _least_positive(distribution: Distribution) -> float:
    values, _ = distribution.support()
    above = values[values > 0]
    return float(above[0]) if len(above) else math.inf


def _logarithmic(low: float, high: float, *, whole: bool) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # By way of text: 3 * 10 ** -1 is not 0.3.
    grid = [float(f"{step}e{power}") for power in powers for step in _GRID]
    if whole:
        grid = [edge for edge in grid if edge >= 1 and edge == math.floor(edge)]
    first = max((edge for edge in grid if edge <= low), default=grid[0])
    last = min(edge for edge in grid if edge > high)
    return [edge for edge in grid if first <= edge <= last]


def _even(low: float, high: float, *, most: int, whole: bool) -> list[float]:
    # Of one value alone, as wide as its bin.
    span = max(high - low, 1.0 if whole else PRECISION * abs(high))
    span = span if span > 1 / _LARGEST else 1.0
    power = math.floor(math.log10(span / most))
    steps = [float(f"{step}e{exponent}") for exponent in (power, power + 1, power + 2) for step in (1, 2, 5)]
    step = next(step for step in steps if span / step <= most and (not whole or step >= 1))
    first, last = math.floor(low / step), math.floor(high / step) + 1
    # 3 * 0.1 is not 0.3.
    return [round(index * step, max(2 - power, 0)) for index in range(first, last + 1)]


def histogram(distribution: Distribution, edges: Sequence[float]) -> list[dict[str, Any]]:
    """Rows `from`, `to`, `count` of the intervals ``[from, to)``; what lies beyond the edges is in the outer ones.

    Args:
        distribution: what to count.
        edges: at least two, ascending, or none for no rows.
    """
    values, counts = distribution.support()
    if len(edges) < 2:
        return []
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    bars = np.zeros(len(edges) - 1, np.int64)
    np.add.at(bars, places, counts)
    return [
        {"from": _plain(low), "to": _plain(high), "count": count}
        for low, high, count in zip(edges, edges[1:], bars.tolist(), strict=False)
    ]


def _plain(number: float) -> float:
    """80 for 80.0: as people and JSON write it."""
    return int(number) if abs(number) < 2**53 and number.is_integer() else number


def shares_by_tenth(counts: Counts) -> list[float]:
    """Share (10,) of the sum of all numbers that each tenth of them has, the smallest first; [] of a sum of 0.

    A tenth's border that falls among equal numbers divides them in proportion (the Lorenz curve, read at tenths).
    """
    mass = np.cumsum(counts.values * counts.counts)
    if not len(mass) or mass[-1] == 0:
        return []
    people = np.cumsum(counts.counts)
    curve = np.interp(np.arange(11) / 10 * people[-1], [0, *people], [0, *mass])
    return [float(share) for share in np.diff(curve) / mass[-1]]
