"""Uplifts of users with few and with many planned sessions."""

from __future__ import annotations

from typing import Any

import polars as pl

from edgerec.simulation.ab_test.comparison import compare

LEAST_USERS = 20
"""A group with fewer users has no intervals and no p-values: with so few users they would be far too narrow."""

_SESSIONS = pl.col("planned_sessions")
GROUPS = {"0": _SESSIONS == 0, "1": _SESSIONS == 1, "2": _SESSIONS == 2, "3 and more": _SESSIONS >= 3}
"""The groups. A user of "0" planned sessions only for the pre-period, and came back in the test period."""
OPTIONAL_GROUP = "0"
"""This group is left out if it has no users, as in tests without a pre-period."""


def uplift_by_activity(
    control: pl.DataFrame, treatment: pl.DataFrame, *, design: str, primary: str
) -> list[dict[str, Any]]:
    """Return the uplift of `treatment` against `control` for each group of users by planned sessions.

    Planned sessions are the same in all buckets, so a group has the same kind of users in both. (The sessions that a
    user has in the end may depend on the bucket.) Only the group `OPTIONAL_GROUP` may be left out.

    Args:
        control: users of the control, sorted by user.
        treatment: users of the treatment, sorted by user.
        design: `paired` or `split`.
        primary: name of the primary metric.
    """
    found = []
    for name, condition in GROUPS.items():
        pair = control.filter(condition), treatment.filter(condition)
        users = pl.concat([each.get_column("user_id") for each in pair]).n_unique()
        if name == OPTIONAL_GROUP and not users:
            continue
        uplift = compare(*pair, design=design, primary=primary)
        if users < LEAST_USERS:
            uplift = {key: {**one, "ci95": None, "p": None, "p_adjusted": None} for key, one in uplift.items()}
        found.append({"sessions": name, "users": users, "uplift": uplift})
    return found
