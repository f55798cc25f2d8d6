"""What a plan is worth: the contract between solvers and models, and the values of a model without surroundings.

The value of a card at a place is ``examination x click rate x worth of its kind - price of its kind``, plus what an
application adds. Solvers know only the two methods of `PlanValues`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.slate import NONE, WINDOW, Ints, Problem

Floats = NDArray[np.float64]


class Known(Protocol):
    """What `PlanValues.extend` has computed for the last card of each plan, so that it need not do so again."""

    def take(self, cells: Ints) -> Known:
        """Return what is known of some plans. `cells` are flat indices into the `cards` given to `extend`."""
        ...


@dataclass(frozen=True)
class Prefixes:
    """The beginnings of b plans.

    Attributes:
        shown: (kinds, b) int64, which of the last `WINDOW` cards are of each kind: a number with a bit for each card,
            the newest one highest. Seen cards count.
        kinds: (b,) int64, the kind of the last card; `NONE` where the list begins. Seen cards count.
        cards: (2, b) int64, the last two cards as candidate indices, the newest one last; `NONE` if it was seen, or if
            there is none.
        known: what `PlanValues.extend` returned for the last cards. None: it computes that again.
    """

    shown: Ints
    kinds: Ints
    cards: Ints
    known: Known | None = None

    def __len__(self) -> int:
        return len(self.kinds)

    @classmethod
    def start(cls, problem: Problem, kinds: int) -> Prefixes:
        """Return the one empty plan of a problem. `kinds` is the number of kinds."""
        line = np.concatenate([np.full(WINDOW, NONE, np.int64), problem.seen.kinds[-WINDOW:]])[-WINDOW:]
        shown = _bits(line == np.arange(kinds)[:, None])
        return cls(shown[:, None], line[-1:], np.full((2, 1), NONE, np.int64))

    def grow(self, parents: Ints, cards: Ints, kinds: Ints, known: Known | None = None) -> Prefixes:
        """Return n plans with one more card each.

        Args:
            parents: (n,) the rows of the plans that they grow from.
            cards, kinds: (n,) the cards, and their kinds.
            known: what is known of the cards.
        """
        shown = self.shown.take(parents, axis=1)
        shown >>= 1
        shown += newest_bit(len(shown)).take(kinds, axis=1)
        last = np.empty((2, len(cards)), np.int64)
        self.cards[1].take(parents, out=last[0], mode="clip")
        last[1] = cards
        return Prefixes(shown, kinds, last, known)


@functools.lru_cache(maxsize=8)
def newest_bit(kinds: int) -> Ints:
    """Return (kinds, kinds) what a card adds to `Prefixes.shown`, by its kind (the column)."""
    return np.eye(kinds, dtype=np.int64) << (WINDOW - 1)


def _bits(windows: NDArray[np.bool_]) -> Ints:
    """Return the numbers (...) whose bits are (..., WINDOW)."""
    bits: Ints = np.packbits(windows, axis=-1, bitorder="little")[..., 0].astype(np.int64)
    return bits


class PlanValues(Protocol):
    """The values of one problem."""

    @property
    def kinds(self) -> int:
        """Number of kinds."""
        ...

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

    def extend(self, place: int | Ints, prefixes: Prefixes, cards: Ints) -> tuple[Floats, Known | None]:
        """Return by how much the value of each plan grows if a card is added, and what is known of the card then.

        The value includes what the new card changes in the value of the card before it.

        Args:
            place: the place of the card, counted from 0: one number, or (b,).
            prefixes: b plans.
            cards: (kinds, b) a card of each kind for each plan, of which one is added. `NONE`: there is no card, and
                its value means nothing.

        Returns:
            The values (kinds, b), and what `Prefixes.grow` takes as `known`, for the cards that are kept.
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

    def extend(self, place: int | Ints, prefixes: Prefixes, cards: Ints) -> tuple[Floats, None]:
        """See `PlanValues.extend`."""
        seen = self.examination[np.minimum(place, len(self.examination) - 1)]
        values: Floats = seen * (self.rates * self.worth - self.prices)[cards]
        return values, None


def prefixes_of(start: Prefixes, cards: Ints, kinds: Ints) -> Prefixes:
    """Return the beginnings of one plan, one for each of its cards: what is before the card.

    Args:
        start: what is before the first card, with b = 1.
        cards: (places,) the cards as candidate indices.
        kinds: (places,) their kinds.
    """
    older = (start.shown >> np.arange(WINDOW)) & 1
    own = np.concatenate([older > 0, np.arange(len(older))[:, None] == kinds], axis=1)
    windows = np.arange(len(cards))[:, None] + np.arange(WINDOW)
    line = np.concatenate([start.cards[:, 0], cards])
    return Prefixes(
        _bits(own.take(windows, axis=1)),
        np.concatenate([start.kinds, kinds[:-1]]),
        np.stack([line[:-2], line[1:-1]]),
    )


def gains_along(values: PlanValues, start: Prefixes, cards: Ints, kinds: Ints, *, first: int = 0) -> Floats:
    """Return by how much each card (places,) of one plan makes it grow, in one call of `values.extend`.

    Args:
        values: the values.
        start, cards, kinds: see `prefixes_of`.
        first: the place of the first card, counted from 0.
    """
    every = np.arange(len(cards))
    one = np.full((values.kinds, len(cards)), NONE, np.int64)
    one[kinds, every] = cards
    gains, _ = values.extend(first + every, prefixes_of(start, cards, kinds), one)
    return gains[kinds, every]


def value_of(values: PlanValues, problem: Problem, order: Ints, places: int) -> float:
    """Return the value of the first `places` cards of an order."""
    cards = np.asarray(order[:places], np.int64)
    return float(gains_along(values, Prefixes.start(problem, values.kinds), cards, problem.cards.kinds[cards]).sum())
