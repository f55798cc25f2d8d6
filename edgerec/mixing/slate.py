"""What a solver reads and returns: the candidates, the cards before them that the user has seen, and the plan."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NONE = -1
"""In arrays of kinds or of candidates: no card, or one that is not known."""
WINDOW = 8
"""Number of cards before a place whose kinds a value may depend on."""


@dataclass(frozen=True)
class Cards:
    """Cards in an order.

    Attributes:
        kinds: (n,) int64, indices into `MixRules.names`.
        advertisers: (n,) int64; 0 is a card without an advertiser.
    """

    kinds: Ints
    advertisers: Ints

    def __len__(self) -> int:
        return len(self.kinds)

    @classmethod
    def none(cls) -> Cards:
        """Return no cards."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Problem:
    """One planning problem.

    Attributes:
        cards: (n,) the candidates in base order. Cards of one kind are a source; they keep this order.
        seen: the cards of this list that the user has seen, from the top. They never move. The first place to fill is
            `len(seen) + 1`.
        places: number of places to fill, at least 1. If there are fewer candidates, as many as there are.
    """

    cards: Cards
    seen: Cards = field(default_factory=Cards.none)
    places: int = 20

    @property
    def count(self) -> int:
        """Number of places that can be filled."""
        return min(self.places, len(self.cards))


@dataclass(frozen=True)
class Plan:
    """An order of the candidates.

    Attributes:
        order: (n,) int64, candidate indices in the order in which they are shown. The first `planned` ones follow the
            rules; the others come after them in base order, and are planned again before they are shown.
        planned: number of places that were planned.
        value: the predicted value of the planned places, with prices.
        relaxed: the rules that were given up and are broken, in the order in which they were given up. ``("all",)`` if
            giving up rules was not enough.
        solver: what found the plan, for example `dp`.
        kept: number of places from the first one where no rule was given up.
    """

    order: Ints
    planned: int
    value: float
    relaxed: tuple[str, ...] = ()
    solver: str = ""
    kept: int = 0
