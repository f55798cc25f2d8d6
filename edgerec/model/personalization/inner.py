"""Training steps of one user's patch, and the exact gradient of a loss after them.

One step of `edgerec.personalization.training` on n events:

    gradient = (X' (sigmoid(logit + X theta) - label) + pull (theta - start)) / n
    theta <- theta - used gradient,    used = factor rates / (1 + factor rates pull / n)

The derivative of a step by theta is ``I - used (X' diag(p (1 - p)) X + pull) / n``. So the gradient through all
steps needs products of this matrix with a vector, and not the matrix.

Source: Finn, Abbeel and Levine, *Model-Agnostic Meta-Learning*, ICML 2017; Pearlmutter, *Fast exact multiplication by
the Hessian*, 1994.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.core.logistic import sigmoid
from edgerec.model.personalization.problem import Floats, Problem


@dataclass(frozen=True, eq=False)
class Inner:
    """How a patch is trained by gradient steps.

    Attributes:
        start: (d + 1,) the patch before training.
        rates: (d + 1,) learning rates.
        pull: strength of the pull to the start, in events.
        steps: number of steps.
    """

    start: Floats
    rates: Floats
    pull: float
    steps: int


def path(problem: Problem, inner: Inner, *, factor: float = 1.0) -> list[Floats]:
    """Return the patch before the first step and after each step. `factor` multiplies all rates."""
    found, used = [inner.start], factor * inner.rates / _damping(problem, inner, factor)
    for _ in range(inner.steps):
        found.append(found[-1] - used * _gradient(problem, inner, found[-1]))
    return found


def _damping(problem: Problem, inner: Inner, factor: float) -> Floats:
    damping: Floats = 1 + factor * inner.rates * inner.pull / len(problem)
    return damping


def _gradient(problem: Problem, inner: Inner, theta: Floats) -> Floats:
    error = sigmoid(problem.logit + problem.x @ theta) - problem.label
    gradient: Floats = (error @ problem.x + inner.pull * (theta - inner.start)) / len(problem)
    return gradient


@dataclass(frozen=True, eq=False)
class MetaGradient:
    """The gradient of a loss after all steps.

    Attributes:
        start: (d + 1,) by the start.
        rates: (d + 1,) by the rates.
        factor: by the factor of all rates.
    """

    start: Floats
    rates: Floats
    factor: float


def through(
    problem: Problem,
    inner: Inner,
    thetas: list[Floats],
    outer: Floats,
    *,
    factor: float = 1.0,
    first_order: bool = False,
) -> MetaGradient:
    """Return the gradient of a loss after all steps.

    Args:
        problem: the events that the steps read.
        inner: how the steps were made.
        thetas: the result of `path`.
        outer: (d + 1,) the gradient of the loss by the last patch.
        factor: the factor of all rates.
        first_order: take each step's derivative by theta as the identity.
    """
    n, damping = len(problem), _damping(problem, inner, factor)
    used = factor * inner.rates / damping
    by_start, by_used, carried = np.zeros_like(outer), np.zeros_like(outer), outer
    for theta in reversed(thetas[:-1]):
        by_used = by_used - carried * _gradient(problem, inner, theta)
        if first_order:
            continue
        p = sigmoid(problem.logit + problem.x @ theta)
        scaled = used * carried
        pulled = inner.pull / n * scaled
        by_start = by_start + pulled
        carried = carried - (p * (1 - p) * (problem.x @ scaled)) @ problem.x / n - pulled
    # The derivative of r / (1 + r c) by r is 1 / (1 + r c)^2.
    by_product = by_used / damping**2
    return MetaGradient(by_start + carried, factor * by_product, float(by_product @ inner.rates))


def query_loss(problem: Problem, theta: Floats) -> tuple[float, Floats]:
    """Return the summed log loss of some events, and its gradient (d + 1,) by the patch."""
    logit = problem.logit + problem.x @ theta
    loss = float((np.logaddexp(0, logit) - problem.label * logit).sum())
    return loss, (sigmoid(logit) - problem.label) @ problem.x
