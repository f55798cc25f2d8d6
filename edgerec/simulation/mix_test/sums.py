"""What each user of each policy saw and did, as sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.core.text import counted, shown

Array = NDArray[np.float64]
COLUMNS = (
    *("bucket", "user_id", "session", "position", "time", "clicked", "probability"),
    *("kind", "worth", "left", "predicted"),
)
"""The columns of the exposures that the test reads. `predicted` may be null, the others may not."""


def checked_exposures(exposures: pl.DataFrame, policies: Sequence[str]) -> pl.DataFrame:
    """Return the exposures of the policies, sorted by policy, user, session and place.

    Raises:
        InputError: a column is missing, or has a null.
    """
    missing = [name for name in COLUMNS if name not in exposures.columns]
    if missing:
        raise InputError(
            f"exposures should have the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}: play the test in "
            "a mixed world (docs/mixing.md)"
        )
    exposures = exposures.filter(pl.col("bucket").is_in(list(policies)))
    for name in COLUMNS:
        if name != "predicted" and exposures.get_column(name).null_count():
            raise InputError(
                f"exposures: {name} should have no null; received some: play the test in a mixed world (docs/mixing.md)"
            )
    return exposures.sort("bucket", "user_id", "session", "position")


def share_column(kind: str) -> str:
    """Return the name of the column with a user's number of cards of a kind."""
    return f"cards of {kind}"


def user_sums(
    users: pl.DataFrame, exposures: pl.DataFrame, *, policies: Sequence[str], kinds: Sequence[str]
) -> dict[str, pl.DataFrame]:
    """Return the sums of each user by policy. All tables have the same users in the same order.

    Args:
        users: one row for each user and policy, with `bucket`, `user_id` and `sessions`.
        exposures: the result of `checked_exposures`.
        policies: names of the policies.
        kinds: the kinds of cards.

    Returns:
        Tables with `user_id` and float64 columns: `sessions`, `cards`, `value` (true click probability times worth),
        `realised` (clicks times worth), `clicks`, `exits` (sessions that the user left before the end of the feed) and
        the number of cards of each kind (`share_column`).

    Raises:
        InputError: a policy does not have the users of the first one, each once.
    """
    worth = pl.col("worth").cast(pl.Float64)
    sums = exposures.group_by("bucket", "user_id").agg(
        pl.len().alias("cards"),
        (pl.col("probability").cast(pl.Float64) * worth).sum().alias("value"),
        (pl.col("clicked").cast(pl.Float64) * worth).sum().alias("realised"),
        pl.col("clicked").sum().alias("clicks"),
        pl.col("left").sum().alias("exits"),
        *((pl.col("kind") == kind).sum().alias(share_column(kind)) for kind in kinds),
    )
    whole = (
        users.select("bucket", "user_id", "sessions")
        .join(sums, on=["bucket", "user_id"], how="left")
        .with_columns(pl.exclude("bucket", "user_id").cast(pl.Float64).fill_null(0.0))
        .sort("bucket", "user_id")
    )
    found = {policy: whole.filter(pl.col("bucket") == policy).drop("bucket") for policy in policies}
    first = found[policies[0]].get_column("user_id")
    for policy, table in found.items():
        own = table.get_column("user_id")
        if own.n_unique() != len(own) or not own.equals(first):
            raise InputError(
                f"users: each policy should have the same users, each once; received "
                f"{counted(len(own), 'row', 'rows')} of {shown(policy)} and {counted(len(first), 'row', 'rows')} of "
                f"{shown(policies[0])}: complete the test first"
            )
    return found


def column(table: pl.DataFrame, name: str) -> Array:
    """Return a column as an array (users,)."""
    values: Array = table.get_column(name).to_numpy()
    return values
