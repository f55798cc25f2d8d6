"""Two rank tests with their estimates and confidence intervals: for pairs, and for two independent samples.

scipy has the tests, but not these intervals, and a device has no scipy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGE, LARGE_PAIRED = 2500, 300
"""With more pairs of values, or with more differences, the distribution of the statistic is taken as normal."""


@dataclass(frozen=True)
class Shift:
    """By how much the values of B are larger than those of A.

    Attributes:
        estimate: the estimate of Hodges and Lehmann.
        low: lower bound of the 95 % confidence interval. It is minus infinity if there are too few values.
        high: upper bound.
        p: two-sided p-value of the hypothesis that the shift is 0.
    """

    estimate: float
    low: float
    high: float
    p: float


def signed_rank(differences: Array) -> Shift:
    """Test the differences (n,) of pairs by Wilcoxon's signed-rank test, which is exact without equal values.

    The estimate is the median of the Walsh averages ``(d_i + d_j) / 2``, i <= j. The statistic is the number of
    positive averages.

    Source: Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, sections 3.1 to 3.3.
    """
    first, second = np.triu_indices(len(differences))
    return _shift((differences[first] + differences[second]) / 2, _signed_rank_cdf(len(differences)))


def mann_whitney(a: Array, b: Array) -> Shift:
    """Test two independent samples (n,) and (m,) by Mann and Whitney's test, which is exact without equal values.

    The estimate is the median of the differences ``b_j - a_i``. The statistic is the number of positive differences.

    Source: Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, sections 4.1 to 4.3.
    """
    return _shift(np.subtract.outer(b, a).ravel(), _mann_whitney_cdf(*sorted((len(a), len(b)))))


def least_p(a: int, b: int | None = None) -> float:
    """Return the smallest p-value that is possible with `a` pairs, or with samples of `a` and `b` values."""
    cdf = _signed_rank_cdf(a) if b is None else _mann_whitney_cdf(*sorted((a, b)))
    return min(1.0, 2 * float(cdf[0]))


def holm(p_values: Array) -> Array:
    """Return the p-values (n,), adjusted for the number of tests by Holm's method."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def _shift(estimates: Array, cdf: Array) -> Shift:
    """Return the result from single estimates of the shift, and the distribution of the number of positive ones.

    Args:
        estimates: (n,), one estimate for each pair of values.
        cdf: (n + 1,), the probability of at most 0, 1, ..., n positive estimates if the shift is 0.
    """
    ordered, count = np.sort(estimates), len(estimates)
    # An estimate of exactly 0 counts half. Rounding down makes the p-value larger, never smaller.
    positive = float((ordered > 0).sum()) + 0.5 * float((ordered == 0).sum())
    p = min(1.0, 2 * float(cdf[math.floor(min(positive, count - positive))]))
    outside = int((cdf <= 0.025).sum())
    low, high = (ordered[outside - 1], ordered[count - outside]) if outside else (-math.inf, math.inf)
    return Shift(float(np.median(ordered)), float(low), float(high), p)


@lru_cache(maxsize=64)
def _signed_rank_cdf(count: int) -> Array:
    """Return the distribution of the sum of ranks 1 to `count`, if each rank counts with the probability 1/2."""
    averages = count * (count + 1) // 2
    if count > LARGE_PAIRED:
        return _normal_cdf(averages, averages * (2 * count + 1) / 12)
    chances = np.zeros(averages + 1)
    chances[0] = 1.0
    for rank in range(1, count + 1):
        moved = np.zeros_like(chances)
        moved[rank:] = chances[:-rank]
        chances = (chances + moved) / 2
    return np.cumsum(chances)


@lru_cache(maxsize=64)
def _mann_whitney_cdf(few: int, many: int) -> Array:
    """Return the distribution of the number of pairs whose second value is larger, if all orders are equally likely."""
    pairs = few * many
    if pairs > LARGE:
        return _normal_cdf(pairs, pairs * (few + many + 1) / 12)
    # The coefficients of the polynomial prod((1 - x^(many + i)) / (1 - x^i), i = 1..few), in exact whole numbers.
    orders = [1] + [0] * pairs
    for size in range(1, few + 1):
        for power in range(pairs, many + size - 1, -1):
            orders[power] -= orders[power - many - size]
        for power in range(size, pairs + 1):
            orders[power] += orders[power - size]
    total = math.comb(few + many, few)
    return np.cumsum([count / total for count in orders])


def _normal_cdf(most: int, variance: float) -> Array:
    """Return the normal distribution with the mean ``most / 2`` at 0, 1, ..., `most`, corrected for continuity."""
    scale = math.sqrt(2 * variance)
    return np.array([0.5 * math.erfc((most / 2 - x - 0.5) / scale) for x in range(most + 1)])
