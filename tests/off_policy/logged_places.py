"""Places with known click probabilities, as a device with epsilon-greedy exploration would log them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.off_policy.places import Places
from edgerec.off_policy.targets import Target, choice_target, greedy_target, random_target

BEST, EPSILON = 5, 0.3


@dataclass(frozen=True)
class World:
    """Places, the true click probability of each candidate (n, m), and policies."""

    places: Places
    truth: NDArray[np.float64]
    targets: list[Target]


def make_world(rng: np.random.Generator, *, users: int, per_user: float = 8.0) -> World:
    """Draw users with different click rates and numbers of places.

    The policy `other` knows more than the log: it often chooses the candidate that this user likes best. The chosen
    rank depends on the place, so a plain mean over the places where log and policy agree is biased.
    """
    user = np.repeat(np.arange(users), 1 + rng.poisson(per_user - 1, users))
    count = len(user)
    score = -np.sort(-rng.normal(size=(count, BEST)), axis=1)
    taste = rng.normal(0, 0.7, users)[user]
    quality = rng.normal(size=(count, BEST))
    logit = -1.2 + 0.5 * score + 0.8 * quality + taste[:, None]
    truth = 1 / (1 + np.exp(-logit))
    explored = rng.random(count) < EPSILON
    shown = np.where(explored, rng.integers(0, BEST, count), 0)
    other = np.where(quality.max(axis=1) > 1.0, quality.argmax(axis=1), 0)
    places = Places(
        request_id=np.arange(count),
        user=user,
        place=np.ones(count, np.int64),
        item=np.arange(BEST) + np.zeros((count, 1), np.int64),
        score=score,
        count=np.full(count, BEST),
        shown=shown,
        propensity=np.where(shown == 0, 1 - EPSILON * (BEST - 1) / BEST, EPSILON / BEST),
        clicked=(rng.random(count) < truth[np.arange(count), shown]).astype(np.float64),
    )
    targets = [greedy_target(places), choice_target("other", other, places), random_target(places)]
    return World(places, truth, targets)
