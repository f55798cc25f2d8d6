"""The prices of kinds while users see cards: over days, and over a user's cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from edgerec.simulation.feed import DAY_MS
from edgerec.simulation.mix_test.shares import CARDS, binned, ends

PRICES = "prices"
"""The column of the exposures with the price of each kind when the card came into view; null without prices."""


def prices_by_day(exposures: pl.DataFrame, kinds: Sequence[str], *, start_ms: int) -> list[dict[str, Any]]:
    """Return the mean price of each kind over the cards that were shown on each day, counted from 1.

    Args:
        exposures: the exposures of one policy.
        kinds: the kinds, in the order of the prices.
        start_ms: the start of the first day.
    """
    if PRICES not in exposures.columns:
        return []
    days = exposures.with_columns(((pl.col("time") - start_ms) // DAY_MS + 1).alias("day"))
    return [{"day": row["day"], "prices": _prices(row, kinds)} for row in _grouped(days, "day", kinds)]


def prices_by_card(exposures: pl.DataFrame, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return the mean price of each kind by how many cards the user has seen in the test."""
    if PRICES not in exposures.columns:
        return []
    number = pl.int_range(1, pl.len() + 1).over("user_id")
    numbered = exposures.sort("user_id", "session", "position").with_columns(binned(number, CARDS).alias("from"))
    rows = _grouped(numbered, "from", kinds)
    return [{**ends(row["from"], CARDS), "prices": _prices(row, kinds)} for row in rows]


def mean_prices(exposures: pl.DataFrame, kinds: Sequence[str]) -> dict[str, float]:
    """Return the mean price of each kind over all shown cards. It is empty if there are no prices."""
    if PRICES not in exposures.columns:
        return {}
    rows = _grouped(exposures.with_columns(pl.lit(0).alias("all")), "all", kinds)
    return _prices(rows[0], kinds) if rows else {}


def _grouped(exposures: pl.DataFrame, by: str, kinds: Sequence[str]) -> list[dict[str, Any]]:
    found = exposures.filter(pl.col(PRICES).is_not_null())
    means = (
        pl.col(PRICES).list.get(index).cast(pl.Float64).mean().alias(f"price of {kind}")
        for index, kind in enumerate(kinds)
    )
    return found.group_by(by).agg(*means).sort(by).to_dicts()


def _prices(row: dict[str, Any], kinds: Sequence[str]) -> dict[str, float]:
    return {kind: row[f"price of {kind}"] for kind in kinds}
