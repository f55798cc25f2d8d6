"""Whose ranking becomes materially worse, beyond noise.

The AUC of a few requests of one user is noisy, so "lower than before" says little. Here a user counts as worse if the
differences of the AUC of the user's requests are too low for chance: a one-sided test that flips the signs of these
differences at random, at the level of 5 %. With fewer than five requests that differ, the test cannot reject, so such
users do not count at all. `noise` is the share of users that the same test flags after the signs were flipped at
random, which is what noise alone gives.

Source: Fisher, *The Design of Experiments*, 1935, section 21 (the randomisation test).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.05
LEAST = 5
FLIPS, NULLS = 400, 20
"""Random flips that make the distribution of a user, and flips of each user that measure what noise alone gives."""


@dataclass(frozen=True)
class Worse:
    """Shares of the users that can be tested.

    Attributes:
        users: number of these users.
        worse: share whose ranking became worse.
        better: share whose ranking became better, by the same test.
        noise: share that the test flags if there is no effect.
    """

    users: int
    worse: float
    better: float
    noise: float


def worse_users(user: NDArray[np.int64], difference: Floats, *, seed: int) -> Worse:
    """Return the shares of users whose requests became worse or better.

    Args:
        user: (g,) the user of each request.
        difference: (g,) AUC of the method less the AUC of the shared model.
        seed: seed of the flips.
    """
    rng = np.random.default_rng(seed)
    moved = difference != 0
    user, difference = user[moved], difference[moved]
    flagged = []
    for each in np.split(difference[np.argsort(user, kind="stable")], _cuts(user)):
        if len(each) < LEAST:
            continue
        sums = rng.choice((-1.0, 1.0), (FLIPS, len(each))) @ each
        null = rng.choice((-1.0, 1.0), (NULLS, len(each))) @ each
        noise = float(np.mean([_rare(sums, one) for one in null.tolist()]))
        flagged.append([_rare(sums, float(each.sum())), _rare(-sums, -float(each.sum())), noise])
    if not flagged:
        return Worse(0, 0.0, 0.0, 0.0)
    shares = np.mean(flagged, axis=0).tolist()
    return Worse(len(flagged), *shares)


def _cuts(user: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(np.diff(np.sort(user, kind="stable"))) + 1


def _rare(sums: Floats, observed: float) -> bool:
    """Return whether so low a sum is rarer than the level. The observed one counts as one of the flips."""
    return bool((1 + (sums <= observed + 1e-12).sum()) / (1 + len(sums)) <= LEVEL)
