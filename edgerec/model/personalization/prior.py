"""A Gaussian prior of patches, learnt from other users: theta_u ~ N(mean, covariance), for each user u.

EM finds mean and covariance. The E step takes the posterior of each user as Gaussian around its mode (Laplace), and the
M step takes the moments over users. The head gets the square root of the covariance as its kernel, so that a patch has
independent numbers, and few events move it along the directions in which users differ.

Source: Gelman et al., *Bayesian Data Analysis*, chapters 5 and 13; Grant et al., *Recasting Gradient-Based
Meta-Learning as Hierarchical Bayes*, ICLR 2018.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.newton import newton
from edgerec.model.personalization.problem import CLIP, Floats, head_of
from edgerec.model.personalization.shrink import EVENTS
from edgerec.model.personalization.simple import best
from edgerec.model.personalization.world import MetaWorld, Trainee, mean_query_loss

VARIANCE = 0.01
"""The variance of each number of a patch before EM."""
ROUNDS, MORE_ROUNDS = 6, 2
"""Rounds of EM on the users that settings are fitted on, and further rounds on all users of meta-training."""
SCALES = (1.0, 2.0, 4.0, 8.0)
"""By how much the precision of the prior is multiplied. With few events a user, EM finds a too wide covariance."""
STEPS = 8
"""Newton steps of one training. It ends earlier if the loss no longer falls."""
_TUNING_STEPS = 4


@dataclass(frozen=True, eq=False)
class Prior:
    """Mean (d + 1,) and covariance (d + 1, d + 1) of the patches of the standard head."""

    mean: Floats
    covariance: Floats


def learn_prior(trainees: Sequence[Trainee], prior: Prior, *, rounds: int) -> Prior:
    """Return the prior after some rounds of EM over all events of the users.

    A round makes one Newton step for each user, from where the last round ended. So modes and prior converge together.

    Args:
        trainees: users of meta-training.
        prior: where EM starts.
        rounds: number of rounds.
    """
    modes = [prior.mean] * len(trainees)
    for _ in range(rounds):
        precision = np.linalg.inv(prior.covariance).astype(np.float64)
        spread = np.zeros_like(prior.covariance)
        for index, each in enumerate(trainees):
            modes[index], hessian = newton(each.whole, prior.mean, precision, steps=1, start=modes[index])
            spread += np.linalg.inv(hessian)
        change = np.array(modes) - prior.mean
        covariance = (spread + change.T @ change) / len(trainees)
        prior = Prior(np.mean(modes, axis=0), (covariance + covariance.T) / 2 + 1e-6 * np.eye(len(covariance)))
    return prior


def prior_method(world: MetaWorld, start: Floats, *, rank: int | None = None, diagonal: bool = False) -> Learned:
    """Return patches that are the mode of a user's posterior.

    Args:
        world: the users of meta-training.
        start: the mean before EM (`refit_start`).
        rank: number of directions of the kernel; None: all.
        diagonal: without the covariances between the numbers of a patch.
    """
    first = Prior(start, VARIANCE * np.eye(len(start)))
    fitted = learn_prior(world.fitted, first, rounds=ROUNDS)

    def modes(scale: float) -> dict[int, Floats]:
        precision = scale * np.linalg.inv(_shape(fitted, diagonal).covariance).astype(np.float64)
        return {
            each.task.user: newton(each.problem, fitted.mean, precision, steps=_TUNING_STEPS)[0] for each in world.tuned
        }

    by_scale = {scale: modes(scale) for scale in SCALES}

    def loss(setting: tuple[float, float]) -> float:
        scale, events = setting

        def patch(each: Trainee) -> Floats:
            count = len(each.known)
            shrunk: Floats = fitted.mean + (by_scale[scale][each.task.user] - fitted.mean) * (count / (count + events))
            return shrunk

        return mean_query_loss(world.tuned, world.standard, patch)

    scale, events = best(itertools.product(SCALES, EVENTS), loss)
    prior = _shape(learn_prior(world.trainees, fitted, rounds=MORE_ROUNDS), diagonal)
    name = "prior_diagonal" if diagonal else "prior"
    narrow = Prior(prior.mean, prior.covariance / scale)
    learned = learned_prior(world, narrow, rank=rank, method=name)
    training = learned.head.training.model_copy(update={"shrink_events": events})
    return replace(
        learned,
        head=replace(learned.head, training=training),
        settings={**(learned.settings or {}), "scale": scale, "shrink_events": events},
    )


def _shape(prior: Prior, diagonal: bool) -> Prior:
    return Prior(prior.mean, np.diag(np.diag(prior.covariance))) if diagonal else prior


def learned_prior(world: MetaWorld, prior: Prior, *, rank: int | None, method: str) -> Learned:
    """Return the head whose Newton steps find the mode of the posterior under `prior`.

    Let W be the covariance of the weights w, and let the bias be ``b = beta . w + rest``, with
    ``beta = W^-1 cov(w, b)`` and `rest` independent of w. Then ``w . x + b = w . (x + beta) + rest``. So a shift of the
    mean of the activations carries the covariance with the bias, and independent numbers remain: those of w along the
    eigenvectors of W, and `rest`.
    """
    standard = world.standard
    weights, crossed = prior.covariance[:-1, :-1], prior.covariance[:-1, -1]
    beta = np.linalg.solve(weights, crossed)
    rest = max(prior.covariance[-1, -1] - crossed @ beta, 1e-6)
    values, vectors = np.linalg.eigh(weights)
    order = np.argsort(values)[::-1][: rank or len(values)]
    directions = vectors[:, order] * np.sqrt(np.maximum(values[order], 1e-12))
    centre = np.linalg.lstsq(directions, prior.mean[:-1], rcond=None)[0]
    pull = np.ones(len(order))
    missed = prior.mean[:-1] - directions @ centre
    if len(order) < len(values):
        # The mean has a part outside of the chosen directions. One more number, which hardly moves, keeps it.
        directions = np.column_stack([directions, missed])
        centre, pull = np.append(centre, 1.0), np.append(pull, 1e6)
    # What the patch reads gets the standard deviation 1, because the head clips all of it at the same size.
    whitened = np.concatenate([each.problem.x[:, :-1] for each in world.trainees]) + beta
    size = np.maximum((whitened @ directions).std(axis=0), 1e-9)
    kernel = standard.kernel.astype(np.float64) @ (directions / size)
    kept = np.flatnonzero(standard.kernel.any(axis=1))
    mean = standard.mean.astype(np.float64).copy()
    mean[kept] -= beta / standard.kernel[kept].sum(axis=1)
    head = head_of(
        mean,
        kernel,
        version_id=standard.training.version_id,
        method=method,
        start=np.append(centre * size, prior.mean[-1] - beta @ prior.mean[:-1]),
        pull=np.append(pull / size**2, 1 / rest),
        steps=STEPS,
        optimiser="newton",
    )
    return Learned(head, settings={"rank": float(len(order)), "clip": CLIP})
