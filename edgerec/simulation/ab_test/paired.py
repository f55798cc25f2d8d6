"""The uplift of the paired design, in which every user is in both buckets."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.simulation.ab_test.library import stats
from edgerec.simulation.ab_test.metrics import METRICS, Metric
from edgerec.simulation.ab_test.uplift import UNKNOWN, Uplift

Array = NDArray[np.float64]

ROUNDING = 1e-12
"""A standard error below this share of the ratio comes from rounding. The metric then has no spread."""


def paired_uplifts(control: pl.DataFrame, treatment: pl.DataFrame) -> dict[str, Uplift]:
    """Return the uplift of `treatment` against `control` in each metric.

    Args:
        control: users of the control.
        treatment: the same users in the treatment, in the same order.
    """
    return {metric.name: ratio_uplift(*_values(control, metric), *_values(treatment, metric)) for metric in METRICS}


def ratio_uplift(n_a: Array, d_a: Array, n_b: Array, d_b: Array) -> Uplift:
    """Return the relative uplift u of a ratio of sums, with A the control and B the treatment::

        r_A = sum(n_A) / sum(d_A),   r_B = sum(n_B) / sum(d_B),   u = r_B / r_A - 1

    The delta method gives each user's influence on u, with means over users m(.)::

        h = ((n_B - r_B d_B) / m(d_B) - (r_B / r_A) (n_A - r_A d_A) / m(d_A)) / r_A

    The standard error of u is the standard deviation of h divided by the square root of the number of users. Both
    buckets' values of a user are in one h, so what they have in common cancels. The two-sided p-value of u = 0 uses the
    t distribution with one degree of freedom fewer than users. The interval does, too, but on the logarithmic scale, as
    in the split design: the standard error of log(1 + u) is that of u divided by 1 + u. So no interval is below -1.

    Args:
        n_a: (users,), numerators in the control.
        d_a: (users,), denominators in the control: 1 for a mean over users.
        n_b: (users,), numerators in the treatment, of the same users in the same order.
        d_b: (users,), denominators in the treatment.

    Source: Deng, Knoblich and Lu, *Applying the Delta Method in Metric Analytics*, KDD 2018, sections 3 and 4; Cochran,
    *Sampling Techniques*, section 6.3 (the ratio estimator), whose residuals n - r d appear twice.
    """
    users = len(n_a)
    if users < 2 or not (n_a.sum() and d_a.sum() and d_b.sum()):
        return UNKNOWN
    if not n_b.sum():
        return Uplift(mean=-1.0)
    r_a, r_b = n_a.sum() / d_a.sum(), n_b.sum() / d_b.sum()
    ratio = r_b / r_a
    influence = ((n_b - r_b * d_b) / d_b.mean() - ratio * (n_a - r_a * d_a) / d_a.mean()) / r_a
    error = float(influence.std(ddof=1)) / math.sqrt(users)
    if error <= ROUNDING * max(ratio, 1.0):
        return Uplift(mean=float(ratio - 1))
    p = 2 * float(stats.t.sf(abs(ratio - 1) / error, users - 1))
    factor = math.exp(error / ratio * float(stats.t.ppf(0.975, users - 1)))
    return Uplift.of(ratio - 1, ratio / factor - 1, ratio * factor - 1, p)


def _values(users: pl.DataFrame, metric: Metric) -> tuple[Array, Array]:
    numerator = users.get_column(metric.numerator).to_numpy()
    if metric.denominator is None:
        return numerator, np.ones(len(numerator))
    return numerator, users.get_column(metric.denominator).to_numpy()
