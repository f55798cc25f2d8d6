"""What a solver works on: the places that are left, with the cards that are left for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from edgerec.mixing.slate import Cards, Ints, Problem
from edgerec.mixing.values import Floats, PlanValues, Prefixes


def not_finite(value: float, card: int, place: int) -> str:
    """Return the text of the error for a value that is NaN or infinite. `place` counts from 0."""
    return (
        f"mixing: values should be finite; received {value} for candidate {card} at place {place + 1} of the plan: "
        "check the model's scores and the prices"
    )


@dataclass(frozen=True)
class Task:
    """A problem whose first places are planned already.

    Attributes:
        problem: the problem.
        values: its values.
        table: (places, n, kinds + 1), `values.table`, or other values that a solver should use in its place.
        done: the candidates on the places that are planned, in order.
        places: the number of places of the problem that should be planned, with those that are `done`.
        any_order: whether cards of one kind may change their order.
    """

    problem: Problem
    values: PlanValues
    table: Floats
    done: tuple[int, ...] = ()
    places: int = 0
    any_order: bool = False

    @property
    def kinds(self) -> int:
        """Number of kinds."""
        return int(self.table.shape[2]) - 1

    @property
    def left(self) -> int:
        """Number of places to plan."""
        return self.places - len(self.done)

    @property
    def open_table(self) -> Floats:
        """The table of the places to plan."""
        return self.table[len(self.done) : self.places]

    @cached_property
    def before(self) -> Cards:
        """The cards before the first place to plan: those that the user has seen, then the planned ones."""
        seen, cards = self.problem.seen, self.problem.cards
        if not self.done:
            return seen
        done = list(self.done)
        return Cards(
            np.concatenate([seen.kinds, cards.kinds[done]]), np.concatenate([seen.advertisers, cards.advertisers[done]])
        )

    @cached_property
    def sources(self) -> tuple[Ints, ...]:
        """By kind, the candidates that are not planned, in the order in which they are taken."""
        free = np.ones(len(self.problem.cards), bool)
        free[list(self.done)] = False
        kinds = self.problem.cards.kinds
        sources = tuple(np.flatnonzero((kinds == kind) & free) for kind in range(self.kinds))
        return tuple(self._spread(source) for source in sources) if self.any_order else sources

    def _spread(self, source: Ints) -> Ints:
        """Return the cards so that the next one is from the advertiser that came up longest ago (then base order)."""
        advertisers, latest = self.problem.cards.advertisers, {}
        for place, advertiser in enumerate(self.before.advertisers.tolist()):
            latest[advertiser] = place
        left, spread = source.tolist(), []
        for turn in range(len(left)):
            card = min(left, key=lambda card: latest.get(int(advertisers[card]), -1) if advertisers[card] else -1)
            left.remove(card)
            spread.append(card)
            latest[int(advertisers[card])] = len(self.before) + turn
        return np.array(spread, np.int64)

    def start(self) -> Prefixes:
        """Return the plan so far."""
        prefixes = Prefixes.start(self.problem, self.kinds)
        for card in self.done:
            cards = np.array([card])
            prefixes = prefixes.grow(np.zeros(1, np.int64), cards, self.problem.cards.kinds[cards])
        return prefixes

    def until(self, places: int) -> Task:
        """Return the task with another number of places."""
        return replace(self, places=places)
