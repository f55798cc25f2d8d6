"""Check that the buckets of a split test have the numbers of users that the assignment should give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from edgerec.simulation.ab_test.library import stats


def sample_ratio(users: pl.DataFrame, buckets: Sequence[str]) -> dict[str, Any]:
    """Return the number of analysed users of each bucket, and the p-value of equal shares (chi-squared test).

    A p-value below 0.001 says that users are missing from a bucket, or were assigned wrongly. Then the uplifts cannot
    be trusted. tea-tasting has this check for two buckets only; scipy's test is for any number.

    Args:
        users: the analysed users.
        buckets: all buckets.

    Source: Fabijan et al., *Diagnosing Sample Ratio Mismatch in Online Controlled Experiments*, KDD 2019.
    """
    counts = {bucket: users.filter(pl.col("bucket") == bucket).height for bucket in buckets}
    p = float(stats.chisquare(list(counts.values())).pvalue) if users.height else None
    return {"counts": counts, "p": p}
