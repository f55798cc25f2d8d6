"""The value of a policy at the share that was aimed at, if the realised share is a little off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from edgerec.simulation.mix_test.sums import Array, column, share_column

LEAST_SPREAD = 0.003
"""Pilot runs whose shares differ by less say nothing about the rate of exchange."""


@dataclass(frozen=True)
class PilotPoint:
    """The result of one pilot run.

    Attributes:
        shares: by kind, the realised share of the cards that users saw.
        value: true value of a card.
    """

    shares: Mapping[str, float]
    value: float


def exchange_rate(points: Sequence[PilotPoint], kind: str) -> float | None:
    """Return by how much the value of a card grows with the share of a kind: the slope of a line through pilot runs.

    All pilot runs of a policy have the same users with the same random numbers, so a slope of a few runs is precise.

    Args:
        points: pilot runs of one policy.
        kind: the kind.

    Returns:
        Value for each card more of this kind. None if the shares of the runs differ by less than `LEAST_SPREAD`.
    """
    shares = np.array([point.shares[kind] for point in points])
    if len(shares) < 2 or np.ptp(shares) < LEAST_SPREAD:
        return None
    return float(np.polyfit(shares, [point.value for point in points], 1)[0])


def value_at_share(table: pl.DataFrame, goals: Mapping[str, float], rates: Mapping[str, float]) -> Array:
    """Return each user's value at the shares that were aimed at::

        value - sum over kinds of rate x (cards of the kind - goal x all cards)

    So a policy that showed more ads than the goal pays for the surplus at the rate of exchange. Over all users, the
    bracket is 0 if the realised share equals the goal.

    Args:
        table: the sums of the users of one policy.
        goals: by kind, the share that was aimed at.
        rates: by kind, the value for each card more of it.
    """
    found = column(table, "value").copy()
    for kind, goal in goals.items():
        found -= rates.get(kind, 0.0) * (column(table, share_column(kind)) - goal * column(table, "cards"))
    return found
