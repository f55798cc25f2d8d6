"""The realised share of each kind: in all, over days, over a user's cards, and by the length of sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from edgerec.simulation.ab_test.positions import clustered_rate
from edgerec.simulation.feed import DAY_MS
from edgerec.simulation.mix_test.sums import column, share_column

LENGTHS = (1, 6, 11, 21, 41, 81)
"""First number of cards of each group of sessions; the last group is open."""
CARDS = (1, 11, 21, 41, 81, 161)
"""First card of each group of a user's cards, counted over sessions; the last group is open."""


def realised_shares(table: pl.DataFrame, kinds: Sequence[str]) -> dict[str, Any]:
    """Return by kind the share of the cards that users saw, with its 95 % interval.

    Args:
        table: the sums of the users of one policy.
        kinds: the kinds.
    """
    found = {}
    for kind in kinds:
        share, interval = clustered_rate(column(table, share_column(kind)), column(table, "cards"))
        found[kind] = {"share": share, "ci95": interval}
    return found


def shares_by_day(exposures: pl.DataFrame, kinds: Sequence[str], *, start_ms: int) -> list[dict[str, Any]]:
    """Return the cards and the share of each kind on each day, counted from 1, of the exposures of one policy."""
    days = exposures.with_columns(((pl.col("time") - start_ms) // DAY_MS + 1).alias("day"))
    return [{"day": row.pop("day"), **_shares(row, kinds)} for row in _grouped(days, "day", kinds)]


def shares_by_card(exposures: pl.DataFrame, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return the cards and the share of each kind by how many cards the user has seen in the test."""
    number = pl.int_range(1, pl.len() + 1).over("user_id")
    numbered = exposures.sort("user_id", "session", "position").with_columns(binned(number, CARDS).alias("from"))
    rows = _grouped(numbered, "from", kinds)
    return [{**ends(row.pop("from"), CARDS), **_shares(row, kinds)} for row in rows]


def shares_by_length(
    exposures: pl.DataFrame, kinds: Sequence[str], goals: dict[str, float | None]
) -> list[dict[str, Any]]:
    """Return the share of each kind in sessions of each length, and how far single sessions are from the goal.

    Args:
        exposures: the exposures of one policy.
        kinds: the kinds.
        goals: by kind, the share that was aimed at, or None.

    Returns:
        For each group of sessions: `from`, `to`, `sessions`, `cards`, `shares`, and `errors`: by kind, the mean over
        sessions of the distance between the share of the session and the goal. None for a kind without a goal.
    """
    sessions = exposures.group_by("user_id", "session").agg(
        pl.len().alias("cards"), *((pl.col("kind") == kind).sum().alias(share_column(kind)) for kind in kinds)
    )
    sessions = sessions.with_columns(binned(pl.col("cards"), LENGTHS).alias("from")).sort("user_id", "session")
    found = []
    for (start,), group in sorted(sessions.group_by("from"), key=lambda pair: pair[0]):
        cards = group.get_column("cards").to_numpy()
        own = {kind: group.get_column(share_column(kind)).to_numpy() for kind in kinds}
        errors = {
            kind: None if goals.get(kind) is None else float(np.abs(own[kind] / cards - goals[kind]).mean())
            for kind in kinds
        }
        shares = {kind: float(own[kind].sum() / cards.sum()) for kind in kinds}
        found.append(
            {
                **ends(int(start), LENGTHS),
                "sessions": len(group),
                "cards": int(cards.sum()),
                "shares": shares,
                "errors": errors,
            }
        )
    return found


def binned(values: pl.Expr, starts: Sequence[int]) -> pl.Expr:
    """Return the start of the group of each value, with groups that begin at `starts`."""
    found = pl.lit(starts[0])
    for start in starts[1:]:
        found = pl.when(values >= start).then(pl.lit(start)).otherwise(found)
    return found


def ends(start: int, starts: Sequence[int]) -> dict[str, int | None]:
    """Return the first and the last value of the group that begins at `start`. The open group has no last one: None."""
    following = [each for each in starts if each > start]
    return {"from": start, "to": following[0] - 1 if following else None}


def _grouped(exposures: pl.DataFrame, by: str, kinds: Sequence[str]) -> list[dict[str, Any]]:
    counts = (pl.len().alias("cards"), *((pl.col("kind") == kind).sum().alias(share_column(kind)) for kind in kinds))
    return exposures.group_by(by).agg(*counts).sort(by).to_dicts()


def _shares(row: dict[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    shares = {kind: row[share_column(kind)] / row["cards"] for kind in kinds}
    return {"cards": row["cards"], "shares": shares}
