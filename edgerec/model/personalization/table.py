"""The table of all methods, for one seed of the split of users or for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgerec.core.console import log
from edgerec.core.errors import InputError
from edgerec.model.personalization.activations import Activations
from edgerec.model.personalization.figures import figures
from edgerec.model.personalization.gate_prior import with_gate
from edgerec.model.personalization.methods import check_methods, learn_methods
from edgerec.model.personalization.scores import Scores, score
from edgerec.model.personalization.tasks import Task, split_users, tasks_of
from edgerec.model.personalization.world import meta_world

FOLDS = 3


def evaluate_methods(
    activations: Activations,
    names: Sequence[str],
    *,
    seeds: int,
    candidate: bool = True,
    rank: int | None = None,
    folds: int = FOLDS,
    version_id: str = "unknown",
) -> dict[str, Any]:
    """Return the rows of all methods.

    Each seed assigns the users to folds. The users of a fold are evaluated with what was learnt from those of the
    other folds, so each user is evaluated once for each seed.

    Raises:
        InputError: a method is unknown, or there are too few users.
    """
    wanted, tasks = check_methods(names), tasks_of(activations)
    if not tasks:
        raise InputError("personalize: no user has two pages with labelled exposures: take a longer period")
    by_seed = []
    for seed in range(1, seeds + 1):
        scores: dict[str, Scores] = {}
        settings: list[dict[str, Any]] = []
        for fold in range(folds):
            log(f"seed {seed} of {seeds}, fold {fold + 1} of {folds}")
            learning, evaluated = split_users(tasks, fold, folds=folds, seed=seed)
            world = meta_world(activations, learning, candidate=candidate, version_id=version_id, seed=seed)
            learned = {
                name: with_gate(world, each) if each.trains else each
                for name, each in learn_methods(world, wanted, rank=rank).items()
            }
            settings.append({name: each.settings for name, each in learned.items() if each.settings})
            score(activations, evaluated, learned, scores, seed)
        by_seed.append({"seed": seed, "settings": settings, "rows": figures(activations, tasks, scores, seed=seed)})
    return {"users": _users(activations, tasks), "rows": _mean_rows(by_seed), "seeds": by_seed}


def _users(activations: Activations, tasks: Sequence[Task]) -> dict[str, Any]:
    pages = np.array([task.pages for task in tasks])
    events = np.array([int(activations.latest[task.known].sum()) for task in tasks])
    return {
        "users": len(tasks),
        "known_pages": {str(p): float(np.percentile(pages, p)) for p in (5, 50, 95)},
        "known_events": {str(p): float(np.percentile(events, p)) for p in (5, 50, 95)},
        "query_events": int(sum(int(activations.latest[task.query].sum()) for task in tasks)),
        "click_rate": float(activations.label.mean()),
    }


def _mean_rows(by_seed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the means over seeds, and the standard deviation of the difference to `shared` between seeds."""
    names = list(by_seed[0]["rows"])
    rows = []
    for name in names:
        each = [one["rows"][name] for one in by_seed]
        row = _mean(each)
        row["gauc_seed_deviation"] = float(np.std([one["gauc_vs_shared"]["mean"] for one in each]))
        rows.append(row)
    return rows


def _mean(values: Sequence[Any]) -> Any:
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, dict):
        return {key: _mean([value[key] for value in values]) for key in first}
    if isinstance(first, list):
        return [_mean(list(each)) for each in zip(*values, strict=True)]
    if isinstance(first, str):
        return first
    return float(np.mean(values)) if isinstance(first, float) else round(float(np.mean(values)))
