"""The methods without a learnt start: the shared model, one bias a user, the shared model trained further, fine-tuning.

Sources: label correction before fine-tuning is after *Personalized federated learning with label correction* (arXiv
2211.01163): what a user's rate of clicks explains is taken out before the weights are trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from edgerec.model.personalization.learned import Learned, tried
from edgerec.model.personalization.newton import newton
from edgerec.model.personalization.problem import Floats, head_of
from edgerec.model.personalization.world import MetaWorld, Trainee, mean_query_loss, stacked
from edgerec.personalization.events import Events
from edgerec.personalization.head import PersonalHead

Setting = TypeVar("Setting")

RATES = (0.01, 0.03, 0.1)
PULLS = (10.0, 40.0, 160.0, 640.0)
STEPS = 20
BIAS_PULLS = (0.5, 2.0, 8.0, 32.0)
REFIT_PULLS = (10.0, 100.0, 1000.0)
NEWTON_STEPS = 6


def shared(world: MetaWorld) -> Learned:
    """Return the shared model: a patch of zeros for each user."""
    return Learned(world.standard, trains=False)


def bias_head(world: MetaWorld, pull: float) -> PersonalHead:
    """Return a head whose patches are a bias alone. Its weight reads nothing."""
    kernel = np.zeros((world.standard.inputs, 1))
    mean = world.standard.mean.astype(np.float64)
    training = world.standard.training
    return head_of(
        mean,
        kernel,
        version_id=training.version_id,
        method="user_bias",
        pull=np.array([1.0, pull]),
        steps=NEWTON_STEPS,
        optimiser="newton",
    )


def user_bias(world: MetaWorld) -> Learned:
    """Return one number a user, shrunk to zero."""

    def loss(pull: float) -> float:
        head = bias_head(world, pull)
        return mean_query_loss(world.some, world.standard, lambda each: only_bias(world, head, each.known))

    pull = best(BIAS_PULLS, loss)
    return Learned(bias_head(world, pull), settings={"pull": pull})


def only_bias(world: MetaWorld, head: PersonalHead, events: Events) -> Floats:
    """Return the patch of the standard head with the bias of a user, and weights of zero."""
    theta = np.zeros(world.standard.rank + 1)
    theta[-1] = tried(head, replace(events, phi=np.zeros((len(events), 1), np.float32)))[-1]
    return theta


def refit_start(world: MetaWorld) -> tuple[Floats, float]:
    """Return the patch that fits all users of meta-training best, and its tuned pull to zero."""
    numbers = world.standard.rank + 1
    zeros = np.zeros(numbers)
    part, rest = stacked(world.fitted), world.tuned

    def loss(pull: float) -> float:
        theta, _ = newton(part, zeros, pull * np.eye(numbers), steps=NEWTON_STEPS)
        return mean_query_loss(rest, world.standard, lambda each: theta)

    pull = best(REFIT_PULLS, loss)
    return newton(stacked(world.trainees), zeros, pull * np.eye(numbers), steps=NEWTON_STEPS)[0], pull


def refit(world: MetaWorld, start: Floats, pull: float) -> Learned:
    """Return the shared model given the same numbers and the same events, the same patch for each user."""
    head = replace(world.standard, start=start.astype(np.float32))
    return Learned(head, trains=False, settings={"pull": pull})


def gradient_head(
    world: MetaWorld, rate: float, pull: float, *, method: str, start: Floats | None = None, bias: float = 1.0
) -> PersonalHead:
    """Return the standard head with gradient steps. `bias` multiplies the rate of the bias."""
    rates = np.full(world.standard.rank + 1, rate)
    rates[-1] *= bias
    kernel, mean = (each.astype(np.float64) for each in (world.standard.kernel, world.standard.mean))
    return head_of(
        mean,
        kernel,
        version_id=world.standard.training.version_id,
        method=method,
        start=start,
        rates=rates,
        pull=pull,
        steps=STEPS,
    )


def finetune(world: MetaWorld, start: Floats | None = None, *, method: str = "finetune") -> Learned:
    """Return gradient steps from the shared model, or from `start`, with one tuned rate and one tuned pull."""

    def loss(setting: tuple[float, float]) -> float:
        head = gradient_head(world, *setting, method=method, start=start)
        return mean_query_loss(world.some, world.standard, lambda each: tried(head, each.known))

    rate, pull = best(itertools.product(RATES, PULLS), loss)
    head = gradient_head(world, rate, pull, method=method, start=start)
    return Learned(head, settings={"rate": rate, "pull": pull})


def prior_corrected(world: MetaWorld, bias: PersonalHead) -> Learned:
    """Return fine-tuning of the weights after the user's bias was fitted and added to the logits."""

    def corrected(each: Trainee, head: PersonalHead) -> Floats:
        return Learned(head, first_bias=bias).patch(each.known, each.known).astype(np.float64)

    def loss(setting: tuple[float, float]) -> float:
        head = gradient_head(world, *setting, method="prior_corrected", bias=0.0)
        return mean_query_loss(world.some, world.standard, lambda each: corrected(each, head))

    rate, pull = best(itertools.product(RATES, PULLS), loss)
    head = gradient_head(world, rate, pull, method="prior_corrected", bias=0.0)
    return Learned(head, first_bias=bias, settings={"rate": rate, "pull": pull})


def best(settings: Iterable[Setting], loss: Callable[[Setting], float]) -> Setting:
    """Return the setting with the lowest loss; the first one of equal ones."""
    return min(settings, key=loss)
