"""The two tables that an A/B test writes, one of users and one of exposures: check them and select users."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from edgerec.core.errors import ConfigurationError, InputError
from edgerec.core.text import counted, shown

DESIGNS = ("paired", "split")
"""In `paired`, every user is in every bucket. In `split`, a user is in one bucket and has a pre-period."""
COUNTS = (
    *("planned_sessions", "sessions", "pv", "clicks", "purchases", "deletes", "searches", "orders", "pages"),
    *("pre_sessions", "pre_pv", "pre_clicks", "pre_purchases"),
)
MONEY = ("gmv", "pre_gmv")


def check_buckets(buckets: Sequence[str]) -> None:
    """Check that there are at least two buckets with different names.

    Raises:
        ConfigurationError: there are fewer, or two have the same name.
    """
    if len(buckets) < 2 or len(set(buckets)) < len(buckets):
        names = ", ".join(shown(name) for name in buckets) or "none"
        raise ConfigurationError(
            f"buckets should be at least two different names, the control first and the treatment second; "
            f"received {names}"
        )


def analysed_users(users: pl.DataFrame, buckets: Sequence[str], *, design: str) -> pl.DataFrame:
    """Return the users of the analysis, sorted by bucket and user, with numbers as float64.

    A user without a session in the test period is left out, because nothing was shown to the user. In the paired
    design, this holds if the user has no session in any bucket.

    Args:
        users: one row for each user and bucket, with the columns `bucket`, `user_id`, `COUNTS` and `MONEY`.
        buckets: the buckets of the analysis. Rows of other buckets are left out.
        design: one of `DESIGNS`.

    Raises:
        ConfigurationError: unknown design.
        InputError: a column is missing, a number is negative or not finite, a user has two rows in one bucket, or the
            rows do not fit the design.
    """
    if design not in DESIGNS:
        raise ConfigurationError(f"design should be one of {', '.join(DESIGNS)}; received {shown(str(design)[:80])}")
    _check_columns(users, ("bucket", "user_id", *COUNTS, *MONEY), "users")
    users = users.filter(pl.col("bucket").is_in(list(buckets)))
    users = users.with_columns(pl.col(*COUNTS, *MONEY).cast(pl.Float64))
    _check_numbers(users)
    _check_design(users, buckets, design=design)
    seen = pl.col("sessions") > 0
    return users.filter(seen.any().over("user_id") if design == "paired" else seen).sort("bucket", "user_id")


def analysed_exposures(exposures: pl.DataFrame, users: pl.DataFrame, buckets: Sequence[str]) -> pl.DataFrame:
    """Return the exposures of `buckets`.

    Args:
        exposures: one row for each exposure of the test period.
        users: the result of `analysed_users`.
        buckets: the buckets of the analysis.

    Raises:
        InputError: a column is missing, a position is below 1, or the exposures of a bucket are not the PV and CLICK
            of its users. Then CTR would have a wrong numerator or denominator.
    """
    _check_columns(exposures, ("bucket", "user_id", "position", "clicked"), "exposures")
    exposures = exposures.filter(pl.col("bucket").is_in(list(buckets)))
    if not exposures.get_column("position").ge(1).fill_null(False).all():
        raise InputError("exposures: position should be at least 1 in each row: write the tables again")
    for bucket in buckets:
        own = exposures.filter(pl.col("bucket") == bucket).get_column("clicked")
        sums = users.filter(pl.col("bucket") == bucket).select(pl.col("pv", "clicks").sum()).row(0)
        if sums != (len(own), own.sum()):
            raise InputError(
                f"users and exposures of bucket {shown(bucket)} should agree; received {sums[0]:,.0f} exposures and "
                f"{sums[1]:,.0f} clicks of users, and {len(own):,} exposures with {own.sum():,} clicks: use two "
                "tables of the same test"
            )
    return exposures


def _check_columns(table: pl.DataFrame, names: Sequence[str], what: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise InputError(
            f"{what} should have the columns {', '.join(names)}; missing: {', '.join(missing)}: write the tables again"
        )


def _check_numbers(users: pl.DataFrame) -> None:
    for name in (*COUNTS, *MONEY):
        values = users.get_column(name)
        if not (values.is_finite() & (values >= 0)).fill_null(False).all():
            raise InputError(f"users: {name} should be finite and at least 0 in each row: write the tables again")


def _check_design(users: pl.DataFrame, buckets: Sequence[str], *, design: str) -> None:
    rows, distinct = users.height, users.get_column("user_id").n_unique()
    if users.select("bucket", "user_id").is_duplicated().any():
        raise InputError("users should have one row for each user and bucket; received several: merge or remove them")
    if design == "split" and rows != distinct:
        raise InputError(
            f"in the split design each user should be in one bucket; received {counted(rows, 'row', 'rows')} of "
            f"{counted(distinct, 'user', 'users')}: use design paired, or keep one row for each user"
        )
    if design == "paired" and rows != distinct * len(buckets):
        raise InputError(
            f"in the paired design each user should be in all {len(buckets)} buckets; received "
            f"{counted(rows, 'row', 'rows')} of {counted(distinct, 'user', 'users')}: complete the test first"
        )
