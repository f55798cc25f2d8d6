"""What a plan is worth: the contract between solvers and models, and the values of a model without surroundings.

The value of a card at a place is ``examination x click rate x worth of its kind - price of its kind``, plus what an
application adds. Solvers know only the two methods of `PlanValues`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.slate import NONE, WINDOW, Ints, Problem

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prefixes:
    """The beginnings of b plans that have the same number of cards.

    Attributes:
        kinds: (b, WINDOW) int64, the kinds of the cards before the next place, the newest one last; `NONE` where the
            list begins. Seen cards count.
        cards: (b, 2) int64, the last two cards as candidate indices, the newest one last; `NONE` if it was seen, or if
            there is none.
    """

    kinds: Ints
    cards: Ints

    @classmethod
    def start(cls, problem: Problem) -> Prefixes:
        """Return the one empty plan of a problem."""
        kinds = np.full((1, WINDOW), NONE, np.int64)
        last = problem.seen.kinds[-WINDOW:]
        if len(last):
            kinds[0, -len(last) :] = last
        return cls(kinds, np.full((1, 2), NONE, np.int64))

    def take(self, rows: Ints) -> Prefixes:
        """Return the prefixes at `rows`."""
        return Prefixes(self.kinds[rows], self.cards[rows])

    def add(self, cards: Ints, kinds: Ints) -> Prefixes:
        """Return the prefixes with one more card each. Both arguments are (b,)."""
        return Prefixes(
            np.concatenate([self.kinds[:, 1:], kinds[:, None]], axis=1),
            np.concatenate([self.cards[:, 1:], cards[:, None]], axis=1),
        )


class PlanValues(Protocol):
    """The values of one problem."""

    exact: bool
    """Whether `table` is the whole truth: `extend` never depends on more than the kind of the card before."""

    def table(self, places: int) -> Floats:
        """Return the values (places, n, kinds + 1) of each candidate at each place, by the kind of the card before.

        The last column is for a place without a card before it. Place 0 is the first one to fill.
        """
        ...

    def extend(self, place: int, prefixes: Prefixes, cards: Ints) -> Floats:
        """Return by how much the value (b,) of each plan grows if `cards` (b,) are added at `place`, counted from 0.

        It includes what the new card changes in the value of the card before it.
        """
        ...


@dataclass(frozen=True)
class PointValues:
    """Values that depend on the place and the card alone: those of a model without surroundings.

    Attributes:
        rates: (n,) the click rate of each candidate.
        worth: (n,) the worth of a click on each candidate.
        prices: (n,) the price of showing each candidate.
        examination: (places,) the probability that the user sees the place; the last one holds for all later places.
        kinds: number of kinds.
    """

    rates: Floats
    worth: Floats
    prices: Floats
    examination: Floats
    kinds: int

    exact = True

    def _seen(self, places: int) -> Floats:
        index = np.minimum(np.arange(places), len(self.examination) - 1)
        seen: Floats = self.examination[index]
        return seen

    def table(self, places: int) -> Floats:
        """See `PlanValues.table`."""
        values = self._seen(places)[:, None] * (self.rates * self.worth - self.prices)
        table: Floats = np.repeat(values[:, :, None], self.kinds + 1, axis=2)
        return table

    def extend(self, place: int, prefixes: Prefixes, cards: Ints) -> Floats:
        """See `PlanValues.extend`."""
        values: Floats = self._seen(place + 1)[place] * (self.rates * self.worth - self.prices)[cards]
        return values


def value_of(values: PlanValues, problem: Problem, order: Ints, places: int) -> float:
    """Return the value of the first `places` cards of an order, added card by card."""
    prefixes, total = Prefixes.start(problem), 0.0
    for place in range(places):
        card = np.asarray(order[place : place + 1], np.int64)
        total += float(values.extend(place, prefixes, card)[0])
        prefixes = prefixes.add(card, problem.cards.kinds[card])
    return total
