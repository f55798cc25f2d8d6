"""Random mixing problems, and the best value by brute force: it shares nothing with the solvers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from edgerec.mixing.limits import Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.values import PlanValues, Prefixes, value_of
from edgerec.mixing.violations import violations

NAMES = ("product", "video", "ad", "live")


class PairValues:
    """Values that depend on the kind of the card before."""

    exact = True

    def __init__(self, table: np.ndarray) -> None:
        self._table = table
        self.kinds = table.shape[2] - 1

    def table(self, places: int) -> np.ndarray:
        """See `PlanValues.table`."""
        return self._table[:places]

    def pairs(self, first: int, places: int, cards: np.ndarray, counts: np.ndarray) -> None:
        """See `PlanValues.pairs`."""

    def extend(self, place: int | np.ndarray, prefixes: Prefixes, cards: np.ndarray) -> tuple[np.ndarray, None]:
        """See `PlanValues.extend`."""
        return self._table[place, cards, prefixes.kinds], None


class WindowValues(PairValues):
    """Values that depend on all kinds of the window, and on which card stands before."""

    exact = False

    def __init__(self, table: np.ndarray, tiring: np.ndarray, likes: np.ndarray) -> None:
        super().__init__(table)
        self._tiring, self._likes = tiring, likes

    def extend(self, place: int | np.ndarray, prefixes: Prefixes, cards: np.ndarray) -> tuple[np.ndarray, None]:
        """See `PlanValues.extend`."""
        counts = np.unpackbits(prefixes.shown.astype(np.uint8)[..., None], axis=-1).sum(axis=-1)
        tired = (counts[:, None] * self._tiring[:, cards]).sum(axis=0)
        before = prefixes.cards[1]
        liked = np.where(before >= 0, self._likes[before, cards], 0.0)
        return super().extend(place, prefixes, cards)[0] - tired + liked, None


def draw(
    rng: np.random.Generator,
    *,
    most_places: int = 8,
    most_cards: int = 10,
    least: float = 0.0,
    like: MixRules | None = None,
    free: bool = False,
) -> tuple[Problem, MixRules, Caps]:
    """Return a problem, its rules, and caps.

    Args:
        rng: draws everything.
        most_places, most_cards: largest number of places and of candidates.
        least: smallest part of these numbers.
        like: rules to use; None: random ones.
        free: whether the first kind has no rules, so that most problems have a plan, and pages are longer.
    """
    if like is not None:
        return _problem(rng, like, most_places, most_cards, least)
    kinds = int(rng.integers(1, 5))
    page = int(rng.integers(6, 21) if free else rng.integers(2, 9))
    tables: dict[str, Any] = {}
    for name in NAMES[:kinds]:
        gap = int(rng.integers(1, 5)) if rng.random() < 0.5 else 1
        room = 1 + (page - 1) // gap
        least = int(rng.integers(0, 2)) if rng.random() < 0.3 else 0
        tables[name] = {
            "gap": gap,
            "advertiser_gap": int(rng.integers(1, 7)) if rng.random() < 0.5 else 1,
            "first": int(rng.integers(1, 6)) if rng.random() < 0.4 else 1,
            "at_least": least,
            "at_most": max(least, int(rng.integers(0, room + 2))) if rng.random() < 0.5 else 50,
        }
    if free:
        tables[NAMES[0]] = {}
    if sum(table["at_least"] for table in tables.values() if table) > page:
        tables = {name: {**table, "at_least": 0} for name, table in tables.items()}
    return _problem(rng, MixRules.model_validate({"page": page, "kinds": tables}), most_places, most_cards, least)


def _problem(
    rng: np.random.Generator, rules: MixRules, most_places: int, most_cards: int, least: float
) -> tuple[Problem, MixRules, Caps]:
    kinds, page = len(rules.names), rules.page
    cards = int(rng.integers(max(1, int(least * most_cards)), most_cards + 1))
    weights = rng.dirichlet(np.ones(kinds))
    weights[0] += 1

    def some(count: int) -> Cards:
        return Cards(
            rng.choice(kinds, count, p=weights / weights.sum()).astype(np.int64),
            rng.integers(0, 4, count).astype(np.int64),
        )

    seen = some(int(rng.integers(0, 12))) if rng.random() < 0.6 else Cards.none()
    problem = Problem(some(cards), seen, int(rng.integers(max(1, int(least * most_places)), most_places + 1)))
    caps = {}
    if rng.random() < 0.3:
        for number in range(len(seen) // page, (len(seen) + problem.count - 1) // page + 1):
            caps[number, int(rng.integers(kinds))] = (int(rng.integers(0, 2)), int(rng.integers(0, 4)))
    return problem, rules, caps


def pair_values(rng: np.random.Generator, problem: Problem, rules: MixRules) -> PairValues:
    """Return random values of all signs."""
    table = rng.normal(size=(problem.count, len(problem.cards), len(rules.names) + 1))
    if rng.random() < 0.5:
        table = np.repeat(table[:, :, :1], table.shape[2], axis=2)
    return PairValues(table + 0.5)


def window_values(rng: np.random.Generator, problem: Problem, rules: MixRules) -> WindowValues:
    """Return random values with effects that reach far back."""
    shape = (problem.count, len(problem.cards), len(rules.names) + 1)
    kinds, cards = len(rules.names), len(problem.cards)
    return WindowValues(
        rng.uniform(0.2, 1, shape), rng.uniform(0, 0.05, (kinds, cards)), rng.normal(0, 0.05, (cards, cards))
    )


def plans(problem: Problem, rules: MixRules, caps: Caps) -> list[Plan]:
    """Return all plans that break no rule and no cap."""
    kinds, found = problem.cards.kinds, []
    sources = [np.flatnonzero(kinds == kind).tolist() for kind in range(len(rules.names))]
    for pattern in itertools.product(range(len(rules.names)), repeat=problem.count):
        if any(pattern.count(kind) > len(source) for kind, source in enumerate(sources)):
            continue
        iterators = [iter(source) for source in sources]
        order = [next(iterators[kind]) for kind in pattern]
        rest = sorted(set(range(len(kinds))) - set(order))
        plan = Plan(np.array(order + rest), problem.count, 0.0)
        if not violations(problem, rules, plan, caps=caps):
            found.append(plan)
    return found


def best_value(problem: Problem, rules: MixRules, values: PlanValues, caps: Caps) -> float | None:
    """Return the value of the best plan; None if none follows all rules."""
    found = [value_of(values, problem, plan.order, plan.planned) for plan in plans(problem, rules, caps)]
    return max(found, default=None)
