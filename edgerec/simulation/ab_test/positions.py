"""Click rates by display position, as in figure 5 of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.statistics import Z95

STARTS = (*range(1, 51, 5), *range(51, 101, 10), 101)
"""First position of each bin: bins of 5 up to position 50, bins of 10 up to 100, and an open one."""


def click_rates(exposures: pl.DataFrame, buckets: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return exposures, clicks and click rate of each bin of display positions, for each bucket.

    The last bin is open: its `to` is None. Bins after the last one with an exposure in any bucket are left out, so
    all buckets have the same bins.

    Args:
        exposures: one row for each exposure, with `bucket`, `user_id`, `position` (from 1) and `clicked`.
        buckets: names of the buckets.
    """
    positions = exposures.get_column("position").to_numpy()
    first = np.asarray(STARTS)[np.searchsorted(STARTS, positions, side="right") - 1]
    users = (
        exposures.with_columns(pl.Series("from", first))
        .group_by("bucket", "from", "user_id")
        .agg(pl.len().alias("exposures"), pl.col("clicked").sum().alias("clicks"))
        .sort("bucket", "from", "user_id")
    )
    starts = [start for start in STARTS if len(first) and start <= first.max()]
    return {
        bucket: [_row(start, users.filter(pl.col("bucket") == bucket, pl.col("from") == start)) for start in starts]
        for bucket in buckets
    }


def clustered_rate(
    clicks: NDArray[np.float64], exposures: NDArray[np.float64]
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the click rate ``r = sum(c) / sum(e)`` and its 95 % interval, with c and e the sums of each user.

    Exposures of one user are not independent, so the standard error comes from the residuals of users::

        sqrt(n / (n - 1) sum((c - r e)^2)) / sum(e)

    The interval is cut off at 0 and 1. It is None for one user, and if the residuals are 0, as without a click.

    Args:
        clicks: (n,), clicks of each user.
        exposures: (n,), exposures of each user.

    Source: Cochran, *Sampling Techniques*, section 6.3 (the ratio estimator).
    """
    count, shown = len(exposures), float(exposures.sum())
    if not shown:
        return None, None
    rate = float(clicks.sum()) / shown
    square = float(((clicks - rate * exposures) ** 2).sum())
    if count < 2 or not square:
        return rate, None
    half = Z95 * math.sqrt(square * count / (count - 1)) / shown
    return rate, (max(rate - half, 0.0), min(rate + half, 1.0))


def _row(start: int, users: pl.DataFrame) -> dict[str, Any]:
    clicks, exposures = (users.get_column(name).cast(pl.Float64).to_numpy() for name in ("clicks", "exposures"))
    rate, interval = clustered_rate(clicks, exposures)
    following = [each for each in STARTS if each > start]
    return {
        "from": start,
        "to": following[0] - 1 if following else None,
        "exposures": int(exposures.sum()),
        "clicks": int(clicks.sum()),
        "rate": rate,
        "ci95": interval,
    }
