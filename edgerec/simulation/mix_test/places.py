"""Where the cards of each kind stand in the list of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

PLACES = 60
"""Places after this one are not counted: few users get there."""


def cards_by_place(exposures: pl.DataFrame, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return, for each place from 1 on, the number of cards that users saw there, and how many were of each kind.

    Args:
        exposures: the exposures of one policy. `position` is the place in the list of the session.
        kinds: the kinds.
    """
    rows = (
        exposures.filter(pl.col("position") <= PLACES)
        .group_by("position")
        .agg(pl.len().alias("cards"), *((pl.col("kind") == kind).sum().alias(f"of {kind}") for kind in kinds))
        .sort("position")
        .to_dicts()
    )
    return [
        {"place": row["position"], "cards": row["cards"], "of": {kind: row[f"of {kind}"] for kind in kinds}}
        for row in rows
    ]
