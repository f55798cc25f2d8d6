"""Compare policies user by user."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from edgerec.simulation.ab_test.paired import ratio_uplift
from edgerec.simulation.mix_test.sums import Array, column

METRICS: dict[str, tuple[str, str | None]] = {
    "value_at_share": ("value_at_share", None),
    "value": ("value", None),
    "realised": ("realised", None),
    "clicks": ("clicks", None),
    "value_per_card": ("value", "cards"),
    "click_rate": ("clicks", "cards"),
    "cards": ("cards", None),
    "cards_per_session": ("cards", "sessions"),
    "exits_per_card": ("exits", "cards"),
}
"""Each metric is a sum over users divided by another one, or by the number of users."""
PRIMARY = "value_at_share"


def compare_policies(against: pl.DataFrame, policy: pl.DataFrame) -> dict[str, Any]:
    """Return the relative change of each metric from `against` to `policy`, with interval and p-value.

    Args:
        against: the sums of the users of one policy, with `value_at_share`.
        policy: the sums of the same users of the other policy, in the same order.
    """
    found = {}
    for name, (numerator, denominator) in METRICS.items():
        uplift = ratio_uplift(*_values(against, numerator, denominator), *_values(policy, numerator, denominator))
        found[name] = {"mean": uplift.mean, "ci95": uplift.ci95, "p": uplift.p}
    return found


def _values(table: pl.DataFrame, numerator: str, denominator: str | None) -> tuple[Array, Array]:
    top = column(table, numerator)
    return top, np.ones(len(top)) if denominator is None else column(table, denominator)
