"""The mixer: from scores, rules and prices to the order of a feed. It knows nothing of clients and stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import NotFiniteError
from edgerec.mixing.config import MixConfig
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.quota import Caps, share_caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.settings import MixSettings
from edgerec.mixing.slate import Cards, Ints, Plan, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import Floats, PlanValues, PointValues


@dataclass(frozen=True)
class Mixed:
    """A mixed order.

    Attributes:
        order: (n,) candidate indices in the order in which they are shown.
        planned: number of places that follow the rules. The other cards come after them in base order.
        relaxed: the rules that were given up on the first planned page, in the order in which they were.
        rates: (n,) the predicted click rate of each candidate, if the user sees it at its place.
    """

    order: Ints
    planned: int
    relaxed: tuple[str, ...]
    rates: Floats


class Mixer:
    """Mixes the candidates of one model version.

    Args:
        settings: the rules and the first numbers.
        config: how to mix.
    """

    def __init__(self, settings: MixSettings, config: MixConfig) -> None:
        self.settings, self.config = settings, config
        self._rules = settings.rules
        self._prior = settings.prior or MixPrior(version_id="none")
        self._places = config.places or settings.rules.page

    def mix(
        self, cards: Cards, seen: Cards, logits: NDArray[np.float32], *, prices: Mapping[str, float], places: int = 0
    ) -> Mixed:
        """Return the order of candidates.

        The first plan has `MixConfig.places` places. Further plans follow it until `places` are planned, so that a user
        who scrolls fast sees no card that breaks a rule.

        Args:
            cards: (n,) the candidates in base order, best first. Cards of one kind keep this order.
            seen: the cards of the list that the user has seen, from the top.
            logits: (n,) the scores of the candidates.
            prices: the price of each kind. Only the policy `price` reads them.
            places: the number of places that the user may see before the next plan.

        Raises:
            NotFiniteError: a score is NaN or infinite.
        """
        if not np.isfinite(logits).all():
            raise NotFiniteError(f"{int((~np.isfinite(logits)).sum())} scores are NaN or infinite")
        left, done, relaxed = np.arange(len(cards)), np.zeros(0, np.int64), ()
        before, first = seen, True
        while len(left) and (first or len(done) < places):
            part = Cards(cards.kinds[left], cards.advertisers[left])
            plan = self._plan(Problem(part, before, self._places), logits[left], prices)
            relaxed = plan.relaxed if first else relaxed
            taken = plan.order[: plan.planned]
            done = np.concatenate([done, left[taken]])
            before = Cards(
                np.concatenate([before.kinds, part.kinds[taken]]),
                np.concatenate([before.advertisers, part.advertisers[taken]]),
            )
            first, left = False, np.delete(left, taken)
            if not len(taken):
                break
        order = np.concatenate([done, left])
        return Mixed(order, len(done), relaxed, click_rates(self._rules, self._prior, cards.kinds, logits))

    def _plan(self, problem: Problem, logits: NDArray[np.float32], prices: Mapping[str, float]) -> Plan:
        config, rules = self.config, self._rules
        caps = None if config.policy == "price" else self._caps(problem)
        values = point_values(
            rules, self._prior, problem.cards.kinds, logits, prices=prices if config.policy == "price" else {}
        )
        solver = "greedy" if config.policy == "greedy" else config.solver
        return solve(problem, rules, values, solver=solver, beam=config.beam, caps=caps)

    def _caps(self, problem: Problem) -> Caps:
        return share_caps(self._rules, problem.seen.kinds, problem.count, targets=self.config.targets)


def click_rates(rules: MixRules, prior: MixPrior, kinds: Ints, logits: NDArray[np.float32]) -> Floats:
    """Return the calibrated click rate (n,) of each card, ``sigmoid(scale * logit + shift)``."""
    calibration = np.array([prior.calibration.get(name, (1.0, 0.0)) for name in rules.names])[kinds]
    half = (calibration[:, 0] * logits.astype(np.float64) + calibration[:, 1]) / 2
    rates: Floats = (1 + np.tanh(half)) / 2
    return rates


def point_values(
    rules: MixRules, prior: MixPrior, kinds: Ints, logits: NDArray[np.float32], *, prices: Mapping[str, float]
) -> PlanValues:
    """Return the values of a model without surroundings: the click rate of a card is the same at every place."""
    worth = np.array([kind.worth for kind in rules.kinds.values()])
    leaving = np.array([prior.departures.get(name, 0.0) for name in rules.names]) * prior.later
    costs = np.array([prices.get(name, 0.0) for name in rules.names]) + leaving
    return PointValues(
        click_rates(rules, prior, kinds, logits),
        worth[kinds],
        costs[kinds],
        np.array(prior.examination),
        len(rules.names),
    )
