"""Random feeds in the middle of a session, on which solvers are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgerec.mixing.esan_values import EsanValues
from edgerec.mixing.head import CardVectors, SurroundingsHead
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Problem
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
    """Where the values of cards come from.

    Attributes:
        rules: the rules.
        prior: the first numbers of a bundle; None: prices are 0, and half of the users see place `HALF_LIFE`.
        head: the head of a model with surroundings; None: random click rates.
        vectors: vectors of real candidates, which instances draw from, if there is a head.
    """

    rules: MixRules
    prior: MixPrior | None = None
    head: SurroundingsHead | None = None
    vectors: CardVectors | None = None

    def values(self, problem: Problem, rng: np.random.Generator) -> Callable[[], PlanValues]:
        """Return a function that makes the values of a problem."""
        rules, kinds = self.rules, problem.cards.kinds
        prior = self.prior or MixPrior(
            version_id="none", examination=[0.5 ** (place / HALF_LIFE) for place in range(50)]
        )
        head, vectors = self.head, self.vectors
        if head is not None and vectors is not None:
            rows = rng.integers(0, len(vectors), len(kinds))
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
            before = Problem(_cards(rng, rules, 3 * rules.page), places=2 * rules.page)
            plan = solve(before, rules, scores.values(before, rng)())
            shown = plan.order[: int(rng.integers(1, 2 * rules.page))]
            seen = Cards(before.cards.kinds[shown], before.cards.advertisers[shown])
        problem = Problem(_cards(rng, rules, candidates), seen, places)
        instances.append(Instance(problem, scores.values(problem, rng)))
    return instances


def _cards(rng: np.random.Generator, rules: MixRules, count: int) -> Cards:
    """Return random cards. Half of them are of the first kind."""
    kinds = len(rules.names)
    shares = np.full(kinds, 0.5 / max(kinds - 1, 1))
    shares[0] = 1 - shares[1:].sum()
    own = rng.choice(kinds, count, p=shares)
    apart = np.array([kind.advertiser_gap > 1 for kind in rules.kinds.values()])
    return Cards(own, np.where(apart[own], rng.integers(1, ADVERTISERS + 1, count), 0))
