"""The A/A test: do the p-values of the split design behave as they should if both buckets are equal?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.arguments import check_whole
from edgerec.core.errors import InputError
from edgerec.simulation.ab_test.aggregates import array_aggregates, columns_of
from edgerec.simulation.ab_test.library import stats
from edgerec.simulation.ab_test.metrics import METRICS
from edgerec.simulation.ab_test.split import aggregates_uplift
from edgerec.simulation.ab_test.tables import analysed_users
from edgerec.simulation.ab_test.winsorising import check_quantile, winsorised

SPLITS = 1000


def aa_test(
    users_of_control: pl.DataFrame, *, splits: int = SPLITS, seed: int = 1, winsorise: float = 0.99
) -> dict[str, Any]:
    """Split the users of one bucket into two random halves many times, and test the p-values for uniformity.

    No half is treated differently, so the p-values of a valid analysis have the uniform distribution: 5 % of them are
    below 0.05. Each split is analysed exactly as the split design is, with CUPED and without.

    Args:
        users_of_control: users of one bucket, as the table `users` has them. They are simulated once.
        splits: number of random splits.
        seed: seed of the splits.
        winsorise: quantile of the cap of GMV.

    Returns:
        `splits`, and for each metric in `metrics` (with CUPED) and in `without_cuped`: `ks_p`, the p-value of the
        Kolmogorov-Smirnov test that the p-values are uniform, and `below_5_percent`, their share below 0.05. Both are
        None if a metric has no p-values, because it is constant or there are too few users.

    Raises:
        ConfigurationError: `winsorise` is no quantile.
        InputError: the table is not valid, or has several buckets.

    Source: Kohavi, Tang and Xu, *Trustworthy Online Controlled Experiments* (2020), chapter 19.
    """
    check_whole(splits, "aa_test: splits", least=1)
    check_quantile(winsorise)
    buckets = users_of_control.get_column("bucket").unique().to_list() if "bucket" in users_of_control.columns else []
    if len(buckets) > 1:
        raise InputError(f"an A/A test should have users of one bucket; received {len(buckets)} buckets: select one")
    users, _ = winsorised(analysed_users(users_of_control, buckets, design="split"), winsorise)
    p_values = aa_p_values(users, splits=splits, seed=seed)
    metrics, without = (
        {metric.name: _summary(p_values[index, place]) for place, metric in enumerate(METRICS)} for index in (0, 1)
    )
    return {"splits": splits, "metrics": metrics, "without_cuped": without}


def aa_p_values(users: pl.DataFrame, *, splits: int, seed: int) -> NDArray[np.float64]:
    """Return the p-values of random splits, with NaN where there is none.

    Args:
        users: the analysed and winsorised users of one bucket.
        splits: number of splits.
        seed: seed of the splits.

    Returns:
        (2, metrics, splits): with CUPED, then without; metrics in the order of `METRICS`.
    """
    values = columns_of(users)
    count, rng = values.shape[1], np.random.default_rng(seed)
    found = np.full((2, len(METRICS), splits), np.nan)
    if count < 4:
        return found
    for split in range(splits):
        order = rng.permutation(count)
        first, second = (array_aggregates(values[:, half]) for half in np.array_split(order, 2))
        for index, cuped in enumerate((True, False)):
            for place, metric in enumerate(METRICS):
                p = aggregates_uplift(first, second, metric, cuped=cuped).p
                found[index, place, split] = math.nan if p is None else p
    return found


def _summary(p_values: NDArray[np.float64]) -> dict[str, float | None]:
    known = p_values[np.isfinite(p_values)]
    if not len(known):
        return {"ks_p": None, "below_5_percent": None}
    return {"ks_p": float(stats.kstest(known, "uniform").pvalue), "below_5_percent": float((known < 0.05).mean())}
