"""The cloud in front of the users: recall and initial ranking, without the session under way (RS of section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.world import Floats, Ints, sigmoid


@dataclass(frozen=True)
class Page:
    """A page as served.

    Attributes:
        items: (n,), rows of the catalogue in the initial order, best first.
        scores: (n,), the cloud's estimated click probabilities, descending.
    """

    items: Ints
    scores: Floats


def serve_page(
    long_term: Floats, allowed: NDArray[np.bool_], *, config: SimulationConfig, rng: np.random.Generator
) -> Page:
    """Recall a page's candidates and rank them.

    The estimate is the user's long-term utility with an error: ``long_term + noise``. Candidates are drawn without
    replacement with probability softmax(estimate / temperature) (Gumbel-top-k), then sorted by estimate.

    Args:
        long_term: (items,), the user's utility of each item before any session, logits.
        allowed: (items,), false for items that the user removed or has seen in this session.
        config: page size, recall temperature and noise.
        rng: the user's randomness.

    Returns:
        At most ``config.candidates`` items; fewer when no more are allowed.
    """
    pool = np.flatnonzero(allowed)
    estimates = long_term[pool] + config.cloud_noise * rng.standard_normal(len(pool))
    keys = estimates / config.recall_temperature + rng.gumbel(size=len(pool))
    count = min(config.candidates, len(pool))
    drawn = np.argpartition(-keys, count - 1)[:count] if count else np.zeros(0, np.int64)
    drawn = drawn[np.lexsort((drawn, -estimates[drawn]))]
    return Page(pool[drawn], sigmoid(config.behaviour.bias + estimates[drawn]))
