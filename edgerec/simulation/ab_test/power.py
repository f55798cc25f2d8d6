"""How small an uplift a split test can find, and how many users the uplifts of the paper need."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from edgerec.simulation.ab_test.aggregates import has_covariate, has_spread, has_value, read_aggregates
from edgerec.simulation.ab_test.metrics import METRICS, Metric
from edgerec.simulation.ab_test.split import library_metric

USERS = 2000
"""Users in each of two buckets, for the smallest uplift."""
POWER, ALPHA = 0.8, 0.05


def power_analysis(users: pl.DataFrame, *, cuped: bool) -> dict[str, Any]:
    """Return `smallest_uplift` and `users_for_paper` of each metric, without and with CUPED, for a split test.

    `smallest_uplift` is the relative uplift that a test with `USERS` users in each of two buckets finds with
    probability `POWER`, at the two-sided level `ALPHA`. `users_for_paper` is the number of users in a bucket with
    which the test finds the uplift of the paper. Both assume that the treatment has the variance of the control.
    tea-tasting computes them with the normal distribution.

    Args:
        users: users of the control. They give mean and variance, for the paired design, too: then the result says
            what a split test of these users would need.
        cuped: whether the users have a pre-period. Otherwise `with_cuped` is None.
    """
    group = read_aggregates(users)
    found = {}
    for metric in METRICS:
        known = has_value(group, metric) and group.mean(metric.numerator) > 0 and has_spread(group, metric)
        usable = known and cuped and has_covariate(group, metric)
        found[metric.name] = {
            **(_solve(group, metric, cuped=False) if known else {"smallest_uplift": None, "users_for_paper": None}),
            "with_cuped": _solve(group, metric, cuped=True) if usable else None,
        }
    return found


def _solve(group: Any, metric: Metric, *, cuped: bool) -> dict[str, Any]:
    # With hundreds of users both distributions agree, and scipy's noncentral t is NaN from about 100,000 users on.
    setting: dict[str, Any] = {"use_t": False, "alpha": ALPHA, "power": POWER, "ratio": 1}
    uplift = library_metric(metric, cuped=cuped, n_obs=2 * USERS, **setting)
    users = library_metric(metric, cuped=cuped, rel_effect_size=metric.paper, **setting)
    return {
        "smallest_uplift": _solved(uplift, group, "rel_effect_size"),
        "users_for_paper": _half(_solved(users, group, "n_obs")),
    }


def _solved(metric: Any, group: Any, parameter: str) -> float | None:
    try:
        value = float(getattr(metric.solve_power_from_aggregates(group, parameter)[0], parameter))
    except (ValueError, RuntimeError):  # The answer is outside the range in which tea-tasting searches.
        return None
    return value if math.isfinite(value) else None


def _half(users: float | None) -> int | None:
    return None if users is None else math.ceil(users / 2)
