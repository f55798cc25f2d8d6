"""Figures of the methods on the query exposures of the users of evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.statistics import bootstrap_weighted_mean
from edgerec.model.metrics import request_aucs
from edgerec.model.personalization.activations import Activations
from edgerec.model.personalization.scores import Scores
from edgerec.model.personalization.tasks import Task, groups_of
from edgerec.model.personalization.worse import worse_users

Floats = NDArray[np.float64]
LOW = "1-5"
TAIL = 0.05


@dataclass(frozen=True, eq=False)
class UserFigures:
    """Sums over the query exposures of each user, in the order of the tasks.

    Attributes:
        auc: (users,) sum of the AUC of the requests, each weighted by its number of exposures.
        weight: (users,) sum of these numbers.
        loss: (users,) sum of the log loss of exposures, each counted once.
        events: (users,) number of these exposures.
        request_user: (g,) index of the user of each request with a click and an exposure without one.
        request_auc: (g,) its AUC.
    """

    auc: Floats
    weight: Floats
    loss: Floats
    events: Floats
    request_user: NDArray[np.int64]
    request_auc: Floats


def user_figures(activations: Activations, tasks: Sequence[Task], logit: Floats) -> UserFigures:
    """Return the figures of logits, by row of the activations."""
    rows = np.concatenate([np.arange(task.query.start, task.query.stop) for task in tasks])
    index = np.repeat(np.arange(len(tasks)), [task.query.stop - task.query.start for task in tasks])
    request, label, score = activations.request[rows], activations.label[rows], logit[rows]
    aucs, sizes = request_aucs(request, label, score)
    _, first, inverse = np.unique(request, return_index=True, return_inverse=True)
    clicks = np.bincount(inverse, weights=label)
    mixed = (clicks > 0) & (clicks < np.bincount(inverse))
    owner = index[first[mixed]]
    once = activations.latest[rows]
    losses = np.logaddexp(0, score) - label * score
    users = len(tasks)
    return UserFigures(
        auc=_sums(owner, aucs * sizes, users),
        weight=_sums(owner, sizes, users),
        loss=_sums(index[once], losses[once], users),
        events=_sums(index[once], np.ones(int(once.sum())), users),
        request_user=owner,
        request_auc=aucs,
    )


def _sums(user: NDArray[np.int64], numbers: Floats, users: int) -> Floats:
    """Return the sum of `numbers` of each user."""
    found: Floats = np.bincount(user, weights=numbers, minlength=users).astype(np.float64)
    return found


def figures(
    activations: Activations, tasks: Sequence[Task], scores: Mapping[str, Scores], *, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the row of each method. `shared` and `refit` must be among them."""
    by_method = {name: user_figures(activations, tasks, each.logit) for name, each in scores.items()}
    shared, refit, groups = by_method["shared"], by_method["refit"], groups_of(tasks)
    rows = {}
    for name, each in scores.items():
        own = by_method[name]
        used = np.array([each.used[task.user] for task in tasks])
        gated = _gated(own, shared, used)
        worse = worse_users(own.request_user, own.request_auc - shared.request_auc, seed=seed)
        rows[name] = {
            "method": name,
            "gauc": _gauc(own),
            "gauc_low_activity": _gauc(own, groups[LOW]),
            "logloss": float(own.loss.sum() / own.events.sum()),
            **(against := _difference(own, shared, "vs_shared", seed=seed)),
            "ci95": _bounds(against["gauc_vs_shared"]),
            **_difference(own, refit, "vs_refit", seed=seed),
            "groups": {group: _group(own, shared, refit, inside, seed=seed) for group, inside in groups.items()},
            "tail": _tail(own, shared),
            "worse_share": worse.worse,
            "better_share": worse.better,
            "worse_share_noise": worse.noise,
            "tested_users": worse.users,
            "gauc_gated": _gauc(gated),
            "logloss_gated": float(gated.loss.sum() / gated.events.sum()),
            **_difference(gated, shared, "gated_vs_shared", seed=seed),
            "rejected_share": float(1 - used.mean()),
            "ms": float(np.median(each.ms)) if each.ms else 0.0,
            "bytes": each.bytes,
        }
    return rows


def _gated(own: UserFigures, shared: UserFigures, used: NDArray[np.bool_]) -> UserFigures:
    """Return the figures if users whose patch the gate rejects keep the shared model."""
    by_request = used[own.request_user]
    return UserFigures(
        auc=np.where(used, own.auc, shared.auc),
        weight=own.weight,
        loss=np.where(used, own.loss, shared.loss),
        events=own.events,
        request_user=own.request_user,
        request_auc=np.where(by_request, own.request_auc, shared.request_auc),
    )


def _gauc(own: UserFigures, inside: NDArray[np.bool_] | None = None) -> float | None:
    weight = own.weight if inside is None else own.weight[inside]
    auc = own.auc if inside is None else own.auc[inside]
    return float(auc.sum() / weight.sum()) if weight.sum() else None


def _difference(own: UserFigures, base: UserFigures, name: str, *, seed: int) -> dict[str, Any]:
    """Return the differences of GAUC and of log loss, with 95 % intervals over users."""
    return {
        f"gauc_{name}": _interval(own.auc - base.auc, own.weight, seed=seed),
        f"logloss_{name}": _interval(own.loss - base.loss, own.events, seed=seed),
    }


def _interval(difference: Floats, weight: Floats, *, seed: int) -> dict[str, float] | None:
    counted = weight > 0
    if not counted.any():
        return None
    difference, weight = difference[counted], weight[counted]
    low, high = bootstrap_weighted_mean(difference / weight, weight, seed=seed)
    return {"mean": float(difference.sum() / weight.sum()), "low": low, "high": high}


def _bounds(interval: dict[str, float] | None) -> list[float] | None:
    return None if interval is None else [interval["low"], interval["high"]]


def _group(
    own: UserFigures, shared: UserFigures, refit: UserFigures, inside: NDArray[np.bool_], *, seed: int
) -> dict[str, Any]:
    return {
        "users": int(inside.sum()),
        "gauc": _gauc(own, inside),
        "gauc_vs_shared": _interval((own.auc - shared.auc)[inside], own.weight[inside], seed=seed),
        "gauc_vs_refit": _interval((own.auc - refit.auc)[inside], own.weight[inside], seed=seed),
        "logloss_vs_shared": _interval((own.loss - shared.loss)[inside], own.events[inside], seed=seed),
    }


def _tail(own: UserFigures, shared: UserFigures) -> float:
    """Return the mean difference of the log loss of the 5 % of users for whom it rises most."""
    counted = own.events > 0
    difference = np.sort((own.loss - shared.loss)[counted] / own.events[counted])[::-1]
    return float(difference[: max(1, round(TAIL * len(difference)))].mean())
