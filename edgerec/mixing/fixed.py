"""Fixed places for each kind, whatever the cards are worth: the mix that other policies are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Ints, Plan, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import Floats, PlanValues, Prefixes, value_of


def fixed_slots(rules: MixRules, shares: Sequence[float], places: int) -> Ints:
    """Return the kind (places,) of each place from the top of the list.

    Each place gets the kind that is furthest behind its share, among those whose gap, first place and largest number on
    a page allow it. The first one of equal kinds comes first. If no kind is allowed, the first kind stands there.

    Args:
        rules: the rules.
        shares: by kind, the share of the places, such as 0.1.
        places: number of places.
    """
    kinds = list(rules.kinds.values())
    shown: list[int] = []
    for place in range(places):
        page = shown[place - place % rules.page :]
        allowed = [
            kind
            for kind, rule in enumerate(kinds)
            if place + 1 >= rule.first
            and page.count(kind) < rule.at_most
            and kind not in shown[max(place - rule.gap + 1, 0) :]
        ]
        behind = {kind: shares[kind] * (place + 1) - shown.count(kind) for kind in allowed}
        shown.append(max(behind, key=lambda kind: (round(behind[kind], 9), -kind), default=0))
    return np.array(shown, np.int64)


def solve_fixed(problem: Problem, rules: MixRules, values: PlanValues, shares: Sequence[float]) -> Plan:
    """Return the plan whose kinds stand on their fixed places as often as the rules and the candidates allow.

    Args:
        problem: the problem.
        rules: the rules; they hold, and are given up, as for `solve`.
        values: what cards are worth. They count for `Plan.value` only.
        shares: by kind, the share of the places.

    Raises:
        ShapeError: see `solve`.
    """
    places, begin = problem.count, len(problem.seen)
    slots = fixed_slots(rules, shares, begin + places)[begin:]
    # If not all places can have their kind, the first ones do.
    right = (slots[:, None] == problem.cards.kinds) * np.linspace(1, 0.9, places)[:, None]
    plan = solve(problem, rules, _Slots(right, len(rules.names)))
    value = value_of(values, problem, plan.order, plan.planned)
    return replace(plan, value=value, solver="fixed")


@dataclass(frozen=True)
class _Slots:
    """A card has a value on a place of its kind only."""

    right: Floats
    kinds: int

    exact = True

    def table(self, places: int) -> Floats:
        return np.repeat(self.right[:places, :, None], self.kinds + 1, axis=2)

    def pairs(self, first: int, places: int, cards: Ints, counts: Ints) -> None:
        """See `PlanValues.pairs`."""

    def extend(self, place: int | Ints, prefixes: Prefixes, cards: Ints) -> tuple[Floats, None]:
        gains: Floats = self.right[place, cards]
        return gains, None
