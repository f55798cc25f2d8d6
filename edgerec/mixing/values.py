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
    """The beginnings of b plans.

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
        return Prefixes(self.kinds.take(rows, axis=0), self.cards.take(rows, axis=0))

    def add(self, cards: Ints, kinds: Ints) -> Prefixes:
        """Return the prefixes with one more card each. Both arguments are (b,)."""
        window, last = np.empty_like(self.kinds), np.empty_like(self.cards)
        window[:, :-1], window[:, -1] = self.kinds[:, 1:], kinds
        last[:, 0], last[:, 1] = self.cards[:, 1], cards
        return Prefixes(window, last)


class PlanValues(Protocol):
    """The values of one problem."""

    exact: bool
    """Whether `table` is the whole truth: `extend` never depends on more than the kind of the card before."""

    def table(self, places: int) -> Floats:
        """Return the values (places, n, kinds + 1) of each candidate at each place, by the kind of the card before.

        The last column is for a place without a card before it. Place 0 is the first one to fill.
        """
        ...

    def pairs(self, first: int, places: int, cards: Ints, counts: Ints) -> Floats | NDArray[np.float32] | None:
        """Return about how much the value of a plan grows by a card, if it stands after another one.

        This guides `beam`. None: there is nothing better than `table`.

        Args:
            first, places: the places from `first` to `places - 1`, counted from 0.
            cards: (c,) the candidates that a plan may take.
            counts: about how many cards of each kind a plan has.

        Returns:
            (places - first, c, c + 1), by card and card before, as places in `cards`; the last column is for a card
            before that is not known.
        """
        ...

    def extend(self, place: int | Ints, prefixes: Prefixes, cards: Ints) -> Floats:
        """Return by how much the value (b,) of each plan grows if `cards` (b,) are added at `place`, counted from 0.

        It includes what the new card changes in the value of the card before it. `place` is one number, or (b,).
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

    def pairs(self, first: int, places: int, cards: Ints, counts: Ints) -> None:
        """See `PlanValues.pairs`."""

    def extend(self, place: int | Ints, prefixes: Prefixes, cards: Ints) -> Floats:
        """See `PlanValues.extend`."""
        seen = self.examination[np.minimum(place, len(self.examination) - 1)]
        values: Floats = seen * (self.rates * self.worth - self.prices)[cards]
        return values


def prefixes_of(start: Prefixes, cards: Ints, kinds: Ints) -> Prefixes:
    """Return the beginnings of one plan, one for each of its cards: what is before the card.

    Args:
        start: what is before the first card, with b = 1.
        cards: (places,) the cards as candidate indices.
        kinds: (places,) their kinds.
    """
    windows = np.lib.stride_tricks.sliding_window_view
    return Prefixes(
        windows(np.concatenate([start.kinds[0], kinds]), WINDOW)[:-1],
        windows(np.concatenate([start.cards[0], cards]), 2)[:-1],
    )


def gains_along(values: PlanValues, start: Prefixes, cards: Ints, kinds: Ints, *, first: int = 0) -> Floats:
    """Return by how much each card (places,) of one plan makes it grow, in one call of `values.extend`.

    Args:
        values: the values.
        start, cards, kinds: see `prefixes_of`.
        first: the place of the first card, counted from 0.
    """
    return values.extend(np.arange(first, first + len(cards)), prefixes_of(start, cards, kinds), cards)


def value_of(values: PlanValues, problem: Problem, order: Ints, places: int) -> float:
    """Return the value of the first `places` cards of an order."""
    cards = np.asarray(order[:places], np.int64)
    return float(gains_along(values, Prefixes.start(problem), cards, problem.cards.kinds[cards]).sum())
