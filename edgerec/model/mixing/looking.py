"""How far users look down a list, and after which kinds of cards they leave, counted from logged lists.

Both need lists that were shown in the logged order: then the exposed candidates are the beginning of the list. Other
lists are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.data.shard_files import NOT_EXPOSED

LEAST = 200
"""Number of exposures of a kind, or of lists at a place, below which it is not counted on its own."""


@dataclass(frozen=True)
class LookedAt:
    """One logged list: the kinds (c,) of its candidates, and how many of the first ones were exposed."""

    kinds: NDArray[np.int64]
    exposed: int


def looked_at(kinds: NDArray[np.int64], labels: NDArray[np.uint8]) -> LookedAt | None:
    """Return a logged list as it was looked at; None if its exposed candidates are not a beginning of the list.

    Args:
        kinds: (c,), the kinds of the candidates in the logged order.
        labels: (c,), the labels as in `Requests.label`.
    """
    shown = labels != NOT_EXPOSED
    exposed = int(shown.sum())
    if not exposed or not shown[:exposed].all():
        return None
    return LookedAt(kinds, exposed)


def examination(lists: Sequence[LookedAt], places: int) -> list[float]:
    """Return the probability (places,) that a user sees the 1st, 2nd, ... card of a list, given that the first is seen.

    It never grows, and places with too few lists get the rate at which the places before them lose users.
    """
    lengths = np.array([len(one.kinds) for one in lists], np.int64)
    exposed = np.array([one.exposed for one in lists], np.int64)
    result, kept = [1.0], 1.0
    for place in range(1, places):
        here = lengths > place
        arrived = int((here & (exposed >= place)).sum())
        if arrived >= LEAST:
            kept = float((here & (exposed > place)).sum()) / arrived
        result.append(result[-1] * kept)
    return result


@dataclass(frozen=True)
class Leaving:
    """How often users leave after a card.

    Attributes:
        rate: over all cards that have a next one.
        by_kind: (kinds,), the difference of the rate after cards of each kind; 0 for a kind with few cards.
        cards: mean number of cards that a user still sees after a card.
    """

    rate: float
    by_kind: NDArray[np.float64]
    cards: float


def leaving(lists: Sequence[LookedAt], kinds: int) -> Leaving:
    """Count after which kinds of cards users leave.

    The differences are shrunk by their noise: a kind whose difference is within the noise of counting has almost none.
    """
    seen, left = np.zeros(kinds), np.zeros(kinds)
    for one in lists:
        # After the last card of a list, nobody can tell whether the user left.
        counted = one.kinds[: min(one.exposed, len(one.kinds) - 1)]
        np.add.at(seen, counted, 1)
        if one.exposed < len(one.kinds):
            left[one.kinds[one.exposed - 1]] += 1
    rate = float(left.sum() / max(seen.sum(), 1))
    own = np.where(seen > 0, left / np.maximum(seen, 1), rate)
    noise = rate * (1 - rate) / np.maximum(seen, 1)
    difference = own - rate
    kept = difference**2 / (difference**2 + noise + 1e-12)
    by_kind = np.where(seen >= LEAST, difference * kept, 0.0)
    return Leaving(rate, by_kind, 1 / rate if rate > 0 else 0.0)
