"""Mean and spread of numbers that come in pieces, exactly: the same to the last bit however they are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import SpecificationError

LARGEST, SMALLEST = 2.0**400, 2.0**-400
"""Larger values are an error, smaller ones count as 0, so that squares neither overflow nor lose a bit."""

_UNIT = 1200
"""Sums are whole multiples of 2^-1200, which every product of two values within these bounds is."""
_BLOCK = 1 << 14
"""Values that are added up at a time, few enough to stay in the cache."""


@dataclass(frozen=True)
class Moments:
    """Number, sum and sum of squares of values; those of all pieces are the sum of those of each.

    Attributes:
        count: how many.
        total: their sum, in units of ``2 ** -1200``.
        squares: the sum of their squares, likewise.
    """

    count: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """0 where there are no values."""
        return float(Fraction(self.total, self.count << _UNIT)) if self.count else 0.0

    @property
    def spread(self) -> float:
        """The standard deviation, ``sqrt(E[x^2] - E[x]^2)``; 0 where there are no values."""
        if not self.count:
            return 0.0
        mean = Fraction(self.total, self.count << _UNIT)
        return math.sqrt(Fraction(self.squares, self.count << _UNIT) - mean * mean)


def moments(values: NDArray[np.float64], counts: NDArray[np.int64] | None = None) -> Moments:
    """Moments of the numbers (n,) among `values`; NaN is none.

    Args:
        values: (n,), without infinity.
        counts: (n,), how often each stands there, at most 2^40 in all; default: once.

    Raises:
        SpecificationError: a value is beyond 2^400.
    """
    there = ~np.isnan(values)
    if counts is not None:
        there &= counts > 0
    if not bool(there.all()):
        values, counts = values[there], None if counts is None else counts[there]
    size = np.abs(values)
    if bool((size > LARGEST).any()):
        raise SpecificationError(f"a mean cannot be fitted to {size.max():g}: give the feature its low and high")
    if bool((size < SMALLEST).any()):
        values = np.where(size < SMALLEST, 0.0, values)
    total = squares = 0
    for begin in range(0, len(values), _BLOCK):
        block = values[begin : begin + _BLOCK]
        often = None if counts is None else counts[begin : begin + _BLOCK]
        # x = a + b, each of at most 26 bits (Veltkamp), so that each product is a double.
        shifted = block * 134217729.0
        high = shifted - (shifted - block)
        low = block - high
        total += _sum(block, often)
        squares += _sum(high * high, often) + _sum(2 * high * low, often) + _sum(low * low, often)
    return Moments(len(values) if counts is None else int(counts.sum()), total, squares)


def _sum(values: NDArray[np.float64], counts: NDArray[np.int64] | None) -> int:
    """The exact sum of a block, in units of ``2 ** -1200``: digit by digit from the largest value's down."""
    # 2^14 digits of 26 bits add up exactly in doubles; 2^40 of 20 bits do in 64-bit integers.
    bits = 26 if counts is None else 20
    total = 0
    while top := float(max(values.max(initial=0.0), -values.min(initial=0.0))):
        exponent = math.frexp(top)[1] - bits
        digits = np.rint(values * 2.0**-exponent)
        whole = int(digits.sum()) if counts is None else int((digits.astype(np.int64) * counts).sum())
        total += whole << (exponent + _UNIT)
        values = values - digits * 2.0**exponent
    return total
