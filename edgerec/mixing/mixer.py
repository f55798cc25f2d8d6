"""The mixer: from scores, rules and prices to the order of a feed. It knows nothing of clients and stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import NotFiniteError
from edgerec.core.logistic import sigmoid
from edgerec.mixing.config import MixConfig, Solver
from edgerec.mixing.esan_values import EsanValues
from edgerec.mixing.fixed import fixed_slots, solve_fixed
from edgerec.mixing.head import CardVectors, SurroundingsHead, neighbour_vectors
from edgerec.mixing.limits import Caps
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.quota import fixed_shares, share_caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.settings import MixSettings
from edgerec.mixing.slate import Cards, Ints, Plan, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.surroundings import Surroundings
from edgerec.mixing.values import Floats, PlanValues, PointValues
from edgerec.mixing.walk import walk

Logits = NDArray[np.floating]


@dataclass(frozen=True)
class Mixed:
    """A mixed order.

    Attributes:
        order: (n,) candidate indices in the order in which they are shown.
        relaxed: the rules that the plan gave up, in the order in which it did.
        rates: (n,) the predicted click rate of each candidate, if the user sees it at its place.
    """

    order: Ints
    relaxed: tuple[str, ...]
    rates: Floats


class Mixer:
    """Mixes the candidates of one model version.

    Args:
        settings: the rules and the first numbers.
        config: how to mix.
        head: the head of a model with surroundings; None: the click rate of a card does not depend on its neighbours.
    """

    def __init__(self, settings: MixSettings, config: MixConfig, *, head: SurroundingsHead | None = None) -> None:
        self.settings, self.config, self._head = settings, config, head
        self._rules = settings.rules
        self._prior = settings.prior or MixPrior(version_id="none")
        self._places = config.places or settings.rules.page

    def mix(
        self,
        cards: Cards,
        seen: Cards,
        logits: Logits,
        *,
        vectors: CardVectors | None = None,
        prices: Mapping[str, float],
        places: int | None = None,
    ) -> Mixed:
        """Return the order of candidates.

        A solver plans the first `MixConfig.places` places, and a walk the places after them (`edgerec.mixing.walk`), so
        that a user who scrolls fast sees no card that breaks a rule. Only the smallest numbers on a page may be missed
        there. Cards that no rule allows yet come last.

        Args:
            cards: (n,) the candidates in base order, best first. Cards of one kind keep this order.
            seen: the cards of the list that the user has seen, from the top.
            logits: (n,) the scores of the candidates.
            vectors: (n,) what the head reads of the candidates; None: the head is not used.
            prices: the price of each kind. Only the policy `price` reads them.
            places: the number of places that the user can see before more candidates arrive; None: all. A plan has no
                more places, so that no rule is given up for a place that nobody sees.

        Raises:
            NotFiniteError: a score is NaN or infinite.
        """
        if not np.isfinite(logits).all():
            wrong = int((~np.isfinite(logits)).sum())
            raise NotFiniteError(f"scores should be finite; NaN or infinite: {wrong} of {len(logits)}")
        prices = prices if self.config.policy == "price" else {}
        rates = click_rates(self._rules, self._prior, cards.kinds, logits)
        points = point_values(self._rules, self._prior, cards.kinds, rates, prices=prices)
        problem = Problem(cards, seen, self._places if places is None else max(min(self._places, places), 1))
        values: PlanValues = points
        if self._head is not None and vectors is not None:
            values = EsanValues.of(self._head, vectors, problem, self._rules, prices=prices, prior=self._prior)
        plan = self._plan(problem, values)
        order = self._go_on(problem, plan.order[: plan.planned], points)
        if self._head is not None and vectors is not None:
            rates = self._rates(self._head, order, cards, seen, vectors)
        return Mixed(order, plan.relaxed, rates)

    def _plan(self, problem: Problem, values: PlanValues) -> Plan:
        config, rules = self.config, self._rules
        if config.policy == "fixed":
            return solve_fixed(problem, rules, values, fixed_shares(rules, targets=config.targets))
        solver: Solver = "greedy" if config.policy == "greedy" else config.solver
        return solve(
            problem, rules, values, solver=solver, beam=config.beam, caps=self._caps(problem.seen, problem.count)
        )

    def _go_on(self, problem: Problem, planned: Ints, points: PointValues) -> Ints:
        """Return the whole order that begins with the planned candidates."""
        cards, seen, rules = problem.cards, problem.seen, self._rules
        left = np.delete(np.arange(len(cards)), planned)
        if not len(left):
            return planned
        before = Cards(
            np.concatenate([seen.kinds, cards.kinds[planned]]),
            np.concatenate([seen.advertisers, cards.advertisers[planned]]),
        )
        slots = None
        if self.config.policy == "fixed":
            shares = fixed_shares(rules, targets=self.config.targets)
            slots = fixed_slots(rules, shares, len(before) + len(left))[len(before) :]
        rest = Cards(cards.kinds[left], cards.advertisers[left])
        value = (points.rates * points.worth - points.prices)[left]
        further = walk(rules, rest, before, value, caps=self._caps(before, len(left)), slots=slots)
        return np.concatenate([planned, left[further], np.delete(left, further)])

    def _caps(self, seen: Cards, places: int) -> Caps | None:
        if self.config.policy not in ("page", "greedy"):
            return None
        return share_caps(self._rules, seen.kinds, places, targets=self.config.targets)

    def _rates(self, head: SurroundingsHead, order: Ints, cards: Cards, seen: Cards, vectors: CardVectors) -> Floats:
        """Return the predicted click rate (n,) of each candidate in this order."""
        codes = np.array([head.code(name) for name in self._rules.names])
        around = Surroundings.in_list(codes[cards.kinds[order]], codes[seen.kinds])
        ordered = CardVectors(vectors.own[order], vectors.before[order], vectors.after[order])
        logits = np.empty(len(order), np.float32)
        logits[order] = head.logits(neighbour_vectors(ordered), around)
        return click_rates(self._rules, self._prior, cards.kinds, logits)


def click_rates(rules: MixRules, prior: MixPrior, kinds: Ints, logits: Logits) -> Floats:
    """Return the calibrated click rate (n,) of each card, ``sigmoid(scale * logit + shift)``."""
    calibration = np.array([prior.calibration.get(name, (1.0, 0.0)) for name in rules.names])[kinds]
    return sigmoid(calibration[:, 0] * logits.astype(np.float64) + calibration[:, 1])


def point_values(
    rules: MixRules, prior: MixPrior, kinds: Ints, rates: Floats, *, prices: Mapping[str, float]
) -> PointValues:
    """Return the values of a model without surroundings: the click rate of a card is the same at every place."""
    worth = np.array([kind.worth for kind in rules.kinds.values()])
    leaving = np.array([prior.departures.get(name, 0.0) for name in rules.names]) * prior.later
    costs = np.array([prices.get(name, 0.0) for name in rules.names]) + leaving
    return PointValues(rates, worth[kinds], costs[kinds], np.array(prior.examination), len(rules.names))
