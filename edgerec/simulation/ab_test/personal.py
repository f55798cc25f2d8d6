"""What personal patches did in an A/B test, and whether they helped: against the same bucket without patches."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from edgerec.model.personalization.worse import worse_users
from edgerec.simulation.ab_test.activity import LEAST_USERS
from edgerec.simulation.ab_test.paired import ratio_uplift
from edgerec.simulation.ab_test.uplift import Uplift

THIRDS = 3
"""Users are in so many groups of about equal size, by their planned sessions."""
SESSION_STARTS = (1, 3, 6, 11, 21)
"""First session of each group of sessions. A patch knows more in later ones."""
_FLOATS = pl.col(pl.Float64)


def personal_part(
    users: pl.DataFrame, exposures: pl.DataFrame, *, shared: Mapping[str, str | None], design: str, seed: int
) -> dict[str, Any]:
    """Return the part `personal` of the document: a row for each bucket with patches.

    Args:
        users: the analysed users of all buckets, with the columns ``patch_...``.
        exposures: one row for each exposure, with `session`, `clicked` and `probability`.
        shared: for each bucket with patches, the bucket that differs only in having none; None if there is none.
        design: `paired` or `split`. Only the paired design has the comparison of the same users.
        seed: seed of random signs.
    """
    found = {}
    for name, against in shared.items():
        own = users.filter(pl.col("bucket") == name)
        found[name] = {**_counts(own), "against": against, "gain": None}
        if against is not None and design == "paired":
            other = users.filter(pl.col("bucket") == against)
            pair = [exposures.filter(pl.col("bucket") == each) for each in (against, name)]
            found[name]["gain"] = _gain(other, own, *pair, seed=seed)
    return found


def _counts(users: pl.DataFrame) -> dict[str, Any]:
    sums = {name: int(users.get_column(f"patch_{name}").sum()) for name in ("ranked", "changed", "at_end")}
    counts = {
        name: int(users.get_column(f"patch_{name}").sum())
        for name in ("trainings", "rejected", "failed", "rolled_back")
    }
    return {
        **counts,
        "patched_share": sums["at_end"] / users.height if users.height else None,
        "changed_share": sums["changed"] / sums["ranked"] if sums["ranked"] else None,
    }


def _gain(
    users_a: pl.DataFrame, users_b: pl.DataFrame, shown_a: pl.DataFrame, shown_b: pl.DataFrame, *, seed: int
) -> dict[str, Any]:
    """Compare the users of B, with patches, to the same users in A.

    A session that only one bucket has counts as 0 clicks in the other one. The test of users who lose flips the signs
    of a user's sessions as if their differences were independent. They are not quite: when two plays of a user differ
    once, later sessions inherit the difference (fatigue, what is known of the user). So its level is approximate.
    """
    sessions = _sessions(shown_a, shown_b)
    identity = users_a.select("user_id", "planned_sessions").sort("user_id")
    worse = worse_users(
        sessions.get_column("user_id").to_numpy(),
        (sessions.get_column("expected_right") - sessions.get_column("expected")).cast(pl.Float64).to_numpy(),
        seed=seed,
    )
    planned = identity.get_column("planned_sessions").to_numpy()
    bounds = [-np.inf, *np.quantile(planned, np.arange(1, THIRDS) / THIRDS), np.inf] if len(planned) else []
    activity = []
    for low, high in pairwise(bounds):
        inside = (planned > low) & (planned <= high)
        if not inside.any():
            continue
        group = identity.filter(pl.Series(inside))
        activity.append(
            {
                "from": int(planned[inside].min()),
                "to": int(planned[inside].max()),
                "users": group.height,
                "click": _uplift(group, sessions, "clicks"),
            }
        )
    by_session = []
    for start, after in zip(SESSION_STARTS, (*SESSION_STARTS[1:], None), strict=True):
        part = sessions.filter(pl.col("session") >= start, pl.lit(after is None) | (pl.col("session") < (after or 0)))
        if part.height:
            group = identity.filter(pl.col("user_id").is_in(part.get_column("user_id").unique().to_list()))
            row = {"from": start, "to": None if after is None else after - 1, "users": group.height}
            by_session.append({**row, "click": _uplift(group, part, "clicks")})
    return {
        "expected_clicks": _uplift(identity, sessions, "expected"),
        "activity": activity,
        "sessions": by_session,
        "worse": {"users": worse.users, "worse": worse.worse, "better": worse.better, "noise": worse.noise},
    }


def _sessions(*shown: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each user and session of either bucket: clicks, and the sum of true click probabilities."""
    keys = ["user_id", "session"]
    sums = [
        each.group_by(keys).agg(
            pl.col("clicked").sum().cast(pl.Float64).alias("clicks"),
            pl.col("probability").cast(pl.Float64).sum().alias("expected"),
        )
        for each in shown
    ]
    return sums[0].join(sums[1], on=keys, how="full", coalesce=True).with_columns(_FLOATS.fill_null(0.0)).sort(keys)


def _uplift(group: pl.DataFrame, sessions: pl.DataFrame, column: str) -> dict[str, Any]:
    sums = sessions.group_by("user_id").agg(pl.col(column, f"{column}_right").sum())
    joined = group.join(sums, on="user_id", how="left", maintain_order="left").with_columns(_FLOATS.fill_null(0.0))
    ones = np.ones(joined.height)
    first, second = (joined.get_column(name).to_numpy() for name in (column, f"{column}_right"))
    found = ratio_uplift(first, ones, second, ones)
    if joined.height < LEAST_USERS:
        found = Uplift(mean=found.mean)
    return {"mean": found.mean, "ci95": found.ci95, "p": found.p}
