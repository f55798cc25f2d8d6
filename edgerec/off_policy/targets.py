"""Target policies: which candidate each of them shows at a place, given the places before as logged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.off_policy.candidate_orders import Floats, Integers
from edgerec.off_policy.places import Places


@dataclass(frozen=True)
class Target:
    """A policy at all places.

    Attributes:
        name: the name of the policy.
        probability: (n, m), the probability with which the policy shows each of the best candidates. A row that is not
            covered has zeros.
        covered: (n,), whether the log could have shown the policy's choice. Elsewhere its value is not identified.
    """

    name: str
    probability: Floats
    covered: NDArray[np.bool_]

    def of_shown(self, places: Places) -> Floats:
        """Return the probability with which the policy shows what the log showed (n,)."""
        shown: Floats = np.take_along_axis(self.probability, places.shown[:, None], axis=1)[:, 0]
        return shown


def choice_target(name: str, choices: Integers, places: Places) -> Target:
    """Return the policy that shows the candidate of rank `choices` (n,). -1: it has no choice."""
    covered = (choices >= 0) & (choices < places.count)
    probability = ((np.arange(places.item.shape[1]) == choices[:, None]) & covered[:, None]).astype(np.float64)
    return Target(name, probability, covered)


def greedy_target(places: Places) -> Target:
    """Return the policy that shows the best remaining candidate by the logged scores."""
    return choice_target("greedy", np.zeros(len(places), np.int64), places)


def random_target(places: Places) -> Target:
    """Return the policy that shows each candidate that the log could have shown with the same probability."""
    return Target("random", places.possible / places.count[:, None], np.ones(len(places), np.bool_))
