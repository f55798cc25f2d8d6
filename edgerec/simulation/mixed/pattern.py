"""Which kind of card stands at which place, before anything is learnt: quotas, fixed places and random places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerec.simulation.mixed.config import AD, LIVE, PRODUCT, VIDEO
from edgerec.simulation.world import Floats, Ints

SLOTS = (PRODUCT, VIDEO, PRODUCT, PRODUCT, LIVE, PRODUCT, VIDEO, PRODUCT, PRODUCT, AD)
"""The kinds of the places of the cloud's own mix, over and over again: 10 % ads, 20 % videos, 10 % live rooms."""


def quotas(count: int, shares: Sequence[float]) -> list[int]:
    """Divide `count` cards by `shares`, which sum to 1, with the method of largest remainders."""
    exact = [count * share for share in shares]
    found = [int(value + 1e-9) for value in exact]
    order = sorted(range(len(shares)), key=lambda kind: (found[kind] - exact[kind], kind))
    for kind in order[: count - sum(found)]:
        found[kind] += 1
    return found


def fixed_places(available: Sequence[int]) -> list[int]:
    """Return the kind of each place, by `SLOTS`.

    Args:
        available: number of cards of each kind. Without a card of its kind, a place gets one of the next kind.
    """
    left = list(available)
    places: list[int] = []
    while any(left):
        kind = SLOTS[len(places) % len(SLOTS)]
        while not left[kind]:
            kind = (kind + 1) % len(left)
        left[kind] -= 1
        places.append(kind)
    return places


def random_places(available: Ints, shares: Sequence[float], rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Draw the kind of each place.

    The probability of a kind is its share, divided by the sum of the shares of all kinds that have cards left.

    Args:
        available: (n, kinds), number of cards of each kind that each user's page may show.
        shares: (kinds,).
        rng: the source of random numbers.

    Returns:
        The kinds (n, k), where k is the largest number of cards of a page, and their probabilities (n, k). Places after
        the end of a page have the kind 0 and the probability 0.
    """
    left, rows = available.copy(), np.arange(len(available))
    count = int(available.sum(axis=1).max(initial=0))
    kinds, probabilities = np.zeros((len(available), count), np.int64), np.zeros((len(available), count), np.float32)
    for place in range(count):
        weights = np.where(left > 0, np.asarray(shares), 0)
        cumulative = np.cumsum(weights, axis=1)
        total = cumulative[:, -1]
        threshold = np.minimum(rng.random(len(left)) * total, np.nextafter(total, 0))
        kind = (cumulative <= threshold[:, None]).sum(axis=1)
        more = total > 0
        kind = np.where(more, kind, 0)
        kinds[:, place] = kind
        probabilities[more, place] = (weights[rows, kind] / np.where(more, total, 1))[more]
        left[rows[more], kind[more]] -= 1
    return kinds, probabilities
