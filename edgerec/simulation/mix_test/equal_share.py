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
        group: the policy and the users of the run. Only runs of one group are compared with each other.
        shares: by kind, the realised share of the cards that users saw.
        value: true value of a card.
    """

    group: str
    shares: Mapping[str, float]
    value: float


def exchange_rates(points: Sequence[PilotPoint], kinds: Sequence[str]) -> dict[str, float]:
    """Return by how much the value of a card grows with the share of each kind: slopes through the pilot runs.

    All runs of a group have the same users with the same random numbers, so few runs give a precise slope. Each group
    has a level of its own, and all have the same slopes. So there is one rate for all policies, and none pays less.

    Args:
        points: pilot runs of all policies.
        kinds: the kinds.

    Returns:
        By kind, the value for each card more of it. Kinds are left out whose shares differ by less than `LEAST_SPREAD`
        within the groups.
    """
    if not points:
        return {}
    groups = np.array([point.group for point in points])
    shares = np.array([[point.shares[kind] for kind in kinds] for point in points]).reshape(len(points), len(kinds))
    values = np.array([point.value for point in points])
    for group in set(groups.tolist()):
        own = groups == group
        shares[own] -= shares[own].mean(axis=0)
        values[own] -= values[own].mean()
    known = [index for index in range(len(kinds)) if np.ptp(shares[:, index]) >= LEAST_SPREAD]
    slopes = np.linalg.lstsq(shares[:, known], values, rcond=None)[0]
    return {kinds[index]: float(slope) for index, slope in zip(known, slopes, strict=True)}


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
    found: Array = column(table, "value").copy()
    for kind, goal in goals.items():
        found -= rates.get(kind, 0.0) * (column(table, share_column(kind)) - goal * column(table, "cards"))
    return found
