"""Percentiles, confidence intervals, and a test of paired differences."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


def percentiles(samples: NDArray[np.float64]) -> dict[str, float]:
    """Return p50, p90 and p99 of `samples` (n,), with linear interpolation."""
    p50, p90, p99 = np.percentile(samples, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99)}


def wilson(clicks: int, exposures: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of the rate p = c / n (Wilson's score interval). With z = `Z95`, it is::

        (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    The interval is inside [0, 1] and accurate for small counts and rates near 0. It assumes independent exposures,
    which is not exactly true for the exposures of one user.

    Args:
        clicks: c, the number of clicks.
        exposures: n, the number of exposures, at least 1.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22 (1927), 209-212;
    Brown, Cai and DasGupta, *Interval estimation for a binomial proportion*, Statistical Science 16 (2001), 101-133.
    """
    rate, square = clicks / exposures, Z95 * Z95 / exposures
    middle = (rate + square / 2) / (1 + square)
    half = math.sqrt(rate * (1 - rate) * square + square * square / 4) / (1 + square)
    # If the rate is 0 or 1, one bound equals the rate exactly. The formula would add a rounding error.
    low = 0.0 if clicks == 0 else max(middle - half, 0.0)
    high = 1.0 if clicks == exposures else min(middle + half, 1.0)
    return low, high


def bootstrap_weighted_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64], *, seed: int, resamples: int = 1000
) -> tuple[float, float]:
    """Return the 95 % confidence interval of the weighted mean ``sum(w v) / sum(w)``, by the percentile bootstrap.

    Each resample draws pairs of a value v and its weight w.

    Args:
        values: (n,), one value for each unit, such as a request.
        weights: (n,), positive.
        seed: seed of the resampling.
        resamples: number of resamples.

    Source: Efron and Tibshirani, *An Introduction to the Bootstrap*, chapter 13.
    """
    rng = np.random.default_rng(seed)
    products = values * weights
    means = np.empty(resamples)
    for index in range(resamples):
        sample = rng.integers(0, len(values), len(values))
        means[index] = products[sample].sum() / weights[sample].sum()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def paired_ratio_test(differences: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return the difference of two weighted means over the same clusters, and its two-sided p-value.

    The difference is ``D = sum(d) / sum(w)``, where d is a cluster's number in `differences` and w its weight. The
    standard error of D is computed from the residuals ``d - D w``. It assumes independent clusters (users).

    Args:
        differences: (n,), the difference of the two weighted sums in each cluster.
        weights: (n,), the sum of weights in each cluster.

    Returns:
        The difference and the p-value. The p-value uses the normal distribution, so it needs at least some tens of
        clusters.

    Source: Cochran, *Sampling Techniques*, section 6.3 (the ratio estimator).
    """
    difference = float(differences.sum() / weights.sum())
    residuals = differences - difference * weights
    count = len(residuals)
    error = math.sqrt(float((residuals * residuals).sum()) * count / max(count - 1, 1)) / float(weights.sum())
    if not error:
        return difference, 1.0 if not difference else 0.0
    return difference, math.erfc(abs(difference) / error / math.sqrt(2))
