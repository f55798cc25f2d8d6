"""Train the patch of one user. It takes about a millisecond and touches no recurrence."""

from __future__ import annotations

from math import inf
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import ShapeError, TrainingError
from edgerec.personalization.events import Events
from edgerec.personalization.gradient import PatchLoss
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.user_rate import describe

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

HALVINGS = 20
"""A Newton step that does not lower the loss is halved at most this often."""
FLAT = 1e-12
"""A Newton step that lowers the loss by less than this is the last one."""


def train(head: PersonalHead, events: Events, *, deadline: float | None = None) -> Array:
    """Return the patch theta (rank + 1,) float32 of a user.

    Args:
        head: the head of the model version.
        events: the user's events.
        deadline: a time of `time.perf_counter`. A training that would go on after it fails. Default: none.

    Raises:
        ShapeError: the events are those of another head.
        TrainingError: there are no events; the gradient is exactly zero, so nothing would be learnt; the training
            explodes: a number is not finite, or the loss is higher than before; or the deadline has passed.
    """
    if events.phi.shape[1] != head.rank:
        raise ShapeError(f"patch: phi should have {head.rank} columns; received {events.phi.shape[1]}")
    if not len(events):
        raise TrainingError("patch: at least one event is needed; received none")
    loss = PatchLoss.of(head, events)
    start = loss.start.copy()
    before = loss.value(start)
    if not loss.gradient(start).any():
        raise TrainingError("patch: the gradient is exactly zero, so nothing would be learnt: check the activations")
    descend = _newton if head.training.optimiser == "newton" else _descent
    theta = descend(loss, start, head, events, inf if deadline is None else deadline)
    theta = within_reach(head, shrunk(head, theta, len(events)))
    after = loss.value(theta) if np.isfinite(theta).all() else np.inf
    if not after <= before:
        raise TrainingError(
            f"patch: the training explodes: the loss was {before:.6g} and is {after:.6g}: meta-train with smaller rates"
        )
    return theta.astype(np.float32)


def shrunk(head: PersonalHead, theta: Floats, count: int) -> Floats:
    """Return a patch whose change is multiplied by ``n / (n + k)``, with n = `count` and k = `Training.shrink_events`.

    A user with few events stays near the start: what few events say of a user is mostly noise. The loss is convex, so
    it still falls.
    """
    nearer: Floats = head.start + (theta - head.start) * (count / (count + head.training.shrink_events))
    return nearer


def within_reach(head: PersonalHead, theta: Floats) -> Floats:
    """Return a patch whose change is not longer than `Training.reach`. The loss is convex, so it still falls."""
    change = theta - head.start
    length = np.sqrt((head.pull * change) @ change)
    if not length > head.training.reach:
        return theta
    nearer: Floats = head.start + change * (head.training.reach / length)
    return nearer


def _check_time(deadline: float) -> None:
    if perf_counter() > deadline:
        raise TrainingError("patch: the training takes longer than its budget")


def _descent(loss: PatchLoss, theta: Floats, head: PersonalHead, events: Events, deadline: float) -> Floats:
    """Return the patch after gradient steps, in which the pull is that of the patch after the step.

    So a step cannot overshoot along the pull, also with few events, where the pull is strong. It is the proximal
    gradient step (Parikh and Boyd, *Proximal Algorithms*, 2014, section 4.2): the plain step with smaller rates.
    """
    rates = head.rates.astype(np.float64)
    if head.user_rate is not None:
        rates *= head.user_rate.factor(describe(events))
    rates = rates / (1 + rates * loss.pull / len(events))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(head.training.steps):
            _check_time(deadline)
            theta = theta - rates * loss.gradient(theta)
    return theta


def _newton(loss: PatchLoss, theta: Floats, head: PersonalHead, events: Events, deadline: float) -> Floats:
    value = loss.value(theta)
    for _ in range(head.training.steps):
        _check_time(deadline)
        step = np.linalg.solve(loss.curvature(theta), loss.gradient(theta))
        for _ in range(HALVINGS):
            following = loss.value(theta - step)
            if following <= value:
                break
            step /= 2
        else:
            return theta
        theta, value, fall = theta - step, following, value - following
        if fall < FLAT:
            break
    return theta
