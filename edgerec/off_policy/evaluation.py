"""`edgerec off-policy`: the click rates that several policies would have had at the explored places of logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgerec.cloud.log_rows import PROPENSITIES
from edgerec.core.console import stage
from edgerec.core.errors import LogsError
from edgerec.data.logs import open_logs
from edgerec.off_policy.candidate_orders import Floats
from edgerec.off_policy.click_model import click_probabilities
from edgerec.off_policy.estimators import Estimate, doubly_robust, effective_sample_size, ips, ratio_of_sums, snips
from edgerec.off_policy.explored_logs import BASE_SCORE, read_exposures, read_orders
from edgerec.off_policy.places import ExploredPlaces, Places, explored_places
from edgerec.off_policy.seen_places import seen_places
from edgerec.off_policy.targets import Target, choice_target, greedy_target, random_target
from edgerec.off_policy.truth import true_probabilities

LOGGED, BASE_ORDER = "logged", "base_order"
ScoresOf = Callable[[Path, pl.DataFrame], Floats]
"""Returns the scores (candidates,) of the model in the folder of a run for the candidates of requests."""


def evaluate_policies(logs: Path, runs: Sequence[Path] = (), *, scores_of: ScoresOf | None = None) -> dict[str, Any]:
    """Return the document of `edgerec off-policy`.

    Args:
        logs: logs that devices sent, with explored places.
        runs: folders of runs. Each is a policy that shows the best remaining candidate by its own scores.
        scores_of: scores the candidates with a run. It is needed if there are runs.

    Raises:
        LogsError: the logs have no explored places, no two users with such places, or a damaged column.
        EdgeRecError: an input cannot be read.
    """
    opened = open_logs(logs)
    with stage("explored places"):
        orders = read_orders(opened)
        seen = seen_places(orders, read_exposures(opened))
        explored = orders.filter(pl.col(PROPENSITIES).is_not_null())
        found = explored_places(explored, seen)
    places = found.places
    users = len(np.unique(places.user))
    if users < 2:
        raise LogsError(
            f"logs: {logs} has explored places of only one user, and intervals need at least two: collect more logs"
        )
    targets = [greedy_target(places), *_base_order(explored, found), random_target(places)]
    if scores_of is not None:
        targets += [choice_target(str(run), found.choices(scores_of(run, explored)), places) for run in runs]
    truth = true_probabilities(logs, places)
    return {
        "logs": str(logs),
        "requests": len(np.unique(places.request_id)),
        "users": users,
        "places": len(places),
        "clicks": int(places.clicked.sum()),
        "explored": float((places.shown > 0).mean()),
        "best_candidates": int(places.count.max()),
        "policies": policy_rows(places, targets, truth),
    }


def policy_rows(places: Places, targets: Sequence[Target], truth: Floats | None) -> list[dict[str, Any]]:
    """Return a row for the log itself, and a row for each target policy.

    Args:
        places: the places, of at least two users.
        targets: the policies.
        truth: (n, m), the true click probabilities of the best candidates; None if they are not known.
    """
    shown = (np.arange(places.item.shape[1]) == places.shown[:, None]).astype(np.float64)
    everywhere = np.ones(len(places), np.bool_)
    clicks = click_probabilities(places)
    rows = [_row(places, Target(LOGGED, shown, everywhere), clicks, truth)]
    return rows + [_row(places, target, clicks, truth) for target in targets]


def _row(places: Places, target: Target, clicks: Floats, truth: Floats | None) -> dict[str, Any]:
    """Return the estimates of one policy, over the places where the log could have shown its choice."""
    row: dict[str, Any] = {
        "name": target.name,
        "places": int(target.covered.sum()),
        "coverage": float(target.covered.mean()),
        "agreement": float(target.of_shown(places).mean()),
    }
    kept = _at(places, target.covered)
    user, clicked = kept.user, kept.clicked
    if len(np.unique(user)) < 2:
        absent = ("effective_sample_size", "ips", "snips", "dr", LOGGED, "difference", "truth")
        return row | dict.fromkeys(absent)
    probability = target.probability[target.covered]
    same = replace(target, probability=probability).of_shown(kept)
    # The log's own weights are 1: its mean needs no propensity.
    weights = np.ones(len(kept)) if target.name == LOGGED else same / kept.propensity
    expected = np.where(probability > 0, probability * clicks[target.covered], 0.0).sum(axis=1)
    residuals = clicked - np.take_along_axis(clicks[target.covered], kept.shown[:, None], axis=1)[:, 0]
    normalised = snips(weights, clicked, user)
    robust = doubly_robust(expected, weights, residuals, user)
    change = ratio_of_sums(expected + weights * residuals - clicked, np.ones(len(kept)), user)
    return row | {
        "effective_sample_size": effective_sample_size(weights),
        "ips": ips(weights, clicked, user).document(),
        "snips": None if normalised is None else normalised.document(),
        "dr": robust.document(),
        LOGGED: float(clicked.mean()),
        "difference": change.document(),
        "truth": None if truth is None else _truth(probability, truth[target.covered], robust),
    }


def _truth(probability: Floats, truth: Floats, estimate: Estimate) -> dict[str, Any] | None:
    """Return the true click rate of a policy, and whether the interval contains it. None if no place has one."""
    rates = np.where(probability > 0, probability * truth, 0.0).sum(axis=1)
    known = ~np.isnan(rates)
    if not known.any():
        return None
    mean = float(rates[known].mean())
    return {"mean": mean, "places": int(known.sum()), "inside": estimate.low <= mean <= estimate.high}


def _base_order(explored: pl.DataFrame, found: ExploredPlaces) -> list[Target]:
    """Return the policy of the cloud's order, if the logs have its scores."""
    if BASE_SCORE not in explored.columns:
        return []
    scores = explored[BASE_SCORE].explode().fill_null(np.nan).to_numpy()
    return [choice_target(BASE_ORDER, found.choices(scores), found.places)]


def _at(places: Places, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> Places:
    return Places(**{name: values[rows] for name, values in vars(places).items()})
