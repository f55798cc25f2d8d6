"""`edgerec mix fit`: what a device starts to mix with, learnt from logs (docs/mixing.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.console import progress, stage
from edgerec.core.errors import InputError
from edgerec.core.logistic import sigmoid
from edgerec.data.samples import TRAIN, VALIDATION, Samples
from edgerec.mixing.calibration import calibrate, calibration_error, held_out
from edgerec.mixing.head import SurroundingsHead
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import PlanValues
from edgerec.model.mixing.dual import find_prices
from edgerec.model.mixing.kinds import KindReader
from edgerec.model.mixing.lists import lists_looked_at
from edgerec.model.mixing.looking import Leaving, examination, leaving
from edgerec.model.mixing.scored import ScoredList, head_of, scored_lists
from edgerec.model.run_head import check_samples
from edgerec.model.runs import Run

Floats = NDArray[np.float64]
PLACES = 50
"""Number of places for which it is counted how likely users see them."""
REQUESTS = 200
"""Default number of logged lists whose plans decide the prices."""
LEAST_EXPOSURES = 100
"""With fewer labelled exposures in the split, nothing can be fitted."""


@dataclass(frozen=True)
class Fitted:
    """The prior, and what was seen on the way.

    Attributes:
        prior: what devices start with.
        document: figures for people: calibration errors, shares with and without prices.
    """

    prior: MixPrior
    document: dict[str, Any]


def fit_prior(
    run: Run, samples: Samples, rules: MixRules, *, split: str = VALIDATION, requests: int = REQUESTS
) -> Fitted:
    """Fit calibration, examination, departures and prices.

    Args:
        run: the trained model.
        samples: its samples, of logs that show lists in the logged order.
        rules: the rules.
        split: the split that calibrates the model and whose lists decide the prices. It should not have trained the
            model.
        requests: number of lists whose plans decide the prices.

    Raises:
        ConfigurationError: the specification has no feature for the kinds of the rules.
        InputError: the split has too few exposures.
        SpecificationError: the samples are not those of the run.
    """
    check_samples(run.head, run.vocabularies, samples)
    reader = KindReader(run.head.spec, rules)
    with stage("count how far users look"):
        lists = [one for each in (TRAIN, split) for one in lists_looked_at(samples, each, reader)]
        seen = examination(lists, PLACES) if lists else [1.0]
        left = leaving(lists, len(rules.names))
    total = samples.head.splits[split].requests
    scored = list(progress(scored_lists(run, samples, split, reader), what="score", total=total))
    logits = np.concatenate([one.shown[one.counted] for one in scored]) if scored else np.zeros(0)
    if len(logits) < LEAST_EXPOSURES:
        raise InputError(
            f"mix fit: the split {split!r} should have at least {LEAST_EXPOSURES} labelled exposures; "
            f"it has {len(logits)}"
        )
    clicked = np.concatenate([one.clicked[one.counted] for one in scored])
    kinds = np.concatenate([one.kinds[one.counted] for one in scored])
    users = np.concatenate([np.full(int(one.counted.sum()), one.user) for one in scored])
    calibration, errors = _calibration(logits, clicked, kinds, users, rules)
    worths = np.array([kind.worth for kind in rules.kinds.values()])
    scales, shifts = (np.array([calibration[name][i] for name in rules.names]) for i in (0, 1))
    value = float(np.mean(sigmoid(scales[kinds] * logits + shifts[kinds]) * worths[kinds]))
    prior = MixPrior(
        version_id=run.head.version_id,
        calibration=calibration,
        examination=[round(one, 6) for one in seen],
        later=value * left.cards,
        departures=dict(zip(rules.names, left.by_kind.round(6).tolist(), strict=True)),
    )
    prices, shares = _prices(scored, rules, prior, head_of(run.model), most=requests)
    prior = prior.model_copy(update={"prices": prices})
    document = {
        "version_id": prior.version_id,
        "exposures": len(logits),
        "lists": len(lists),
        "calibration": calibration,
        "calibration_error": errors,
        "leaving": _leaving(left, rules),
        "value_per_card": value,
        "prices": prices,
        "shares": shares,
    }
    return Fitted(prior, document)


def _leaving(left: Leaving, rules: MixRules) -> dict[str, Any]:
    by_kind = dict(zip(rules.names, left.by_kind.tolist(), strict=True))
    return {"rate": left.rate, "cards_after": left.cards, "by_kind": by_kind}


def _calibration(
    logits: Floats, clicked: Floats, kinds: NDArray[np.int64], users: NDArray[np.int64], rules: MixRules
) -> tuple[dict[str, tuple[float, float]], dict[str, dict[str, float]]]:
    """Return scale and shift by kind, and the calibration error of each kind before and after.

    The error after is that of a calibration that was fitted on other users.
    """
    calibration, errors = {}, {}
    for index, name in enumerate(rules.names):
        own = kinds == index
        scale, shift = calibrate(logits[own], clicked[own])
        calibration[name] = (round(scale, 6), round(shift, 6))
        errors[name] = {
            "exposures": int(own.sum()),
            "before": calibration_error(sigmoid(logits[own]), clicked[own]),
            "after": calibration_error(held_out(logits[own], clicked[own], users[own]), clicked[own]),
        }
    return calibration, errors


def _prices(
    scored: Sequence[ScoredList], rules: MixRules, prior: MixPrior, head: SurroundingsHead | None, *, most: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the price of each kind, and the shares of the plans without and with prices."""
    first = [one for one in scored if one.first]
    # Equally spaced, so that the lists are from the whole period.
    chosen = [first[i] for i in np.unique(np.linspace(0, len(first) - 1, min(most, len(first))).astype(int))]
    problems = [(one, _problem(one, rules)) for one in chosen]

    def shares_at(prices: Floats) -> Floats:
        shown, total = np.zeros(len(rules.names)), 0.0
        for one, problem in problems:
            values: PlanValues = one.values(problem, rules, prior, prices, head)
            plan = solve(problem, rules, values)
            weights = np.array([prior.examination[min(p, len(prior.examination) - 1)] for p in range(plan.planned)])
            np.add.at(shown, problem.cards.kinds[plan.order[: plan.planned]], weights)
            total += float(weights.sum())
        return shown / max(total, 1e-12)

    with stage("find prices"):
        found = find_prices(shares_at, rules)
    shares = {"without": shares_at(np.zeros(len(rules.names))), "with": shares_at(found)}
    return (
        {name: round(float(price), 6) for name, price in zip(rules.names, found, strict=True)},
        {what: dict(zip(rules.names, each.round(4).tolist(), strict=True)) for what, each in shares.items()},
    )


def _problem(one: ScoredList, rules: MixRules) -> Problem:
    """Return the planning problem of a logged list: its cards, best first as a re-rank orders them."""
    order = one.best_first
    cards = Cards(one.kinds[order], np.zeros(len(order), np.int64))
    return Problem(cards, places=rules.page)
