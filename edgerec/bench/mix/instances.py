"""Random feeds in the middle of a session, on which solvers are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgerec.mixing.esan_values import EsanValues
from edgerec.mixing.head import CardVectors, SurroundingsHead
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MOST_PLACES, MixRules
from edgerec.mixing.slate import Cards, Ints, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import PlanValues, PointValues

DEFAULT_RULES = MixRules.model_validate(
    {
        "page": 20,
        "advertiser_column": "advertiser",
        "kinds": {
            "product": {"worth": 1.0},
            "video": {"worth": 0.4, "at_least": 2, "at_most": 8},
            "ad": {"worth": 3.0, "gap": 4, "advertiser_gap": 8, "first": 4, "at_most": 2},
        },
    }
)
"""The rules without a bundle: three kinds with a gap, caps, a minimum, and no ad on the first three places."""
ADVERTISERS = 8
HALF_LIFE = 10
"""After this many places, half of the users do not look any more."""


@dataclass(frozen=True)
class Instance:
    """One feed.

    Attributes:
        problem: the candidates, and the cards that the user has seen.
        values: makes the values, as a client does for each plan.
    """

    problem: Problem
    values: Callable[[], PlanValues]


@dataclass(frozen=True)
class Scores:
    """Where cards and their values come from.

    Attributes:
        rules: the rules.
        prior: the first numbers of a bundle; None: prices are 0, and half of the users see place `HALF_LIFE`.
        head: the head of a model with surroundings; None: random click rates.
        vectors: vectors of real candidates, which feeds draw from, if there is a head.
        kinds: the kinds of these candidates; None: random ones.
    """

    rules: MixRules
    prior: MixPrior | None = None
    head: SurroundingsHead | None = None
    vectors: CardVectors | None = None
    kinds: Ints | None = None

    def draw(self, rng: np.random.Generator, count: int, seen: Cards, places: int) -> Instance:
        """Return a feed of random cards. Half of them are of the first kind, if kinds are random."""
        rules, vectors = self.rules, self.vectors
        rows = None if vectors is None else rng.integers(0, len(vectors), count)
        if self.kinds is not None and rows is not None:
            kinds = self.kinds[rows]
        else:
            shares = np.full(len(rules.names), 0.5 / max(len(rules.names) - 1, 1))
            shares[0] = 1 - shares[1:].sum()
            kinds = rng.choice(len(rules.names), count, p=shares)
        apart = np.array([kind.advertiser_gap > 1 for kind in rules.kinds.values()])
        cards = Cards(kinds, np.where(apart[kinds], rng.integers(1, ADVERTISERS + 1, count), 0))
        problem = Problem(cards, seen, places)
        return Instance(problem, self._values(problem, rows, rng))

    def _values(self, problem: Problem, rows: Ints | None, rng: np.random.Generator) -> Callable[[], PlanValues]:
        rules, kinds = self.rules, problem.cards.kinds
        examination = [0.5 ** (place / HALF_LIFE) for place in range(MOST_PLACES)]
        prior = self.prior or MixPrior(version_id="none", examination=examination)
        head, vectors = self.head, self.vectors
        if head is not None and vectors is not None:
            own = CardVectors(vectors.own[rows], vectors.before[rows], vectors.after[rows])
            return lambda: EsanValues.of(head, own, problem, rules, prior=prior)
        # Candidates stand in the order of their click rates, as after a re-rank.
        rates = np.sort(rng.beta(1.5, 12, len(kinds)))[::-1]
        worth = np.array([kind.worth for kind in rules.kinds.values()])[kinds]
        prices = np.array([prior.prices.get(name, 0.0) for name in rules.names])[kinds]
        return lambda: PointValues(rates, worth, prices, np.array(prior.examination), len(rules.names))


def make_instances(scores: Scores, count: int, *, places: int, candidates: int, seed: int = 0) -> list[Instance]:
    """Return `count` feeds. The seen cards are the beginning of a plan under the same rules, up to two pages long."""
    rng, rules = np.random.default_rng(seed), scores.rules
    instances = []
    for number in range(count):
        seen = Cards.none()
        if number % 2:
            before = scores.draw(rng, 3 * rules.page, seen, 2 * rules.page)
            plan = solve(before.problem, rules, before.values())
            shown = plan.order[: int(rng.integers(1, 2 * rules.page))]
            seen = Cards(before.problem.cards.kinds[shown], before.problem.cards.advertisers[shown])
        instances.append(scores.draw(rng, candidates, seen, places))
    return instances
