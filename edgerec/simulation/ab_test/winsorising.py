"""Winsorise money: replace amounts above a cap by the cap, so that single large orders do not decide a test."""

from __future__ import annotations

import polars as pl

from edgerec.core.errors import ConfigurationError


def check_quantile(quantile: object) -> None:
    """Check that `quantile` is above 0 and at most 1.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(quantile, bool) or not isinstance(quantile, (int, float)) or not 0 < quantile <= 1:
        raise ConfigurationError(
            f"winsorise should be a quantile above 0 and at most 1 (1: no cap below the largest amount); "
            f"received {quantile!r}"
        )


def cap_of(users: pl.DataFrame, column: str, quantile: float) -> float | None:
    """Return the `quantile` of the amounts above 0 (linear interpolation), or None if nobody bought anything.

    The amounts are those of all rows of `users`, so of all buckets together: one cap for all buckets. A cap for each
    bucket would remove a part of the uplift. Amounts of 0 are left out, because most users buy nothing, and then the
    quantile over all users would be 0 or near it.

    Args:
        users: one row for each user and bucket.
        column: column of the amounts.
        quantile: above 0 and at most 1.
    """
    bought = users.get_column(column)
    cap: float | None = bought.filter(bought > 0).quantile(quantile, interpolation="linear")
    return cap


def winsorised(users: pl.DataFrame, quantile: float) -> tuple[pl.DataFrame, float | None]:
    """Return `users` with winsorised columns `gmv` and `pre_gmv`, and the cap of `gmv` (`cap_of`).

    `pre_gmv`, the covariate of CUPED, has a cap of its own, by the same rule: the pre-period may have another length.
    """
    caps = {column: cap_of(users, column, quantile) for column in ("gmv", "pre_gmv")}
    capped = [pl.col(column).clip(upper_bound=cap) for column, cap in caps.items() if cap is not None]
    return users.with_columns(capped), caps["gmv"]
