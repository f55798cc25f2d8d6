"""Newton's method for logistic regression with a Gaussian prior. The problem is convex, so there is no rate to tune."""

from __future__ import annotations

import numpy as np

from edgerec.core.logistic import sigmoid
from edgerec.model.personalization.problem import Floats, Problem

_LONGEST = 4.0
"""A Newton step that changes a logit by more than this is shortened. That only happens far from the solution."""


def newton(
    problem: Problem, mean: Floats, precision: Floats, *, steps: int, start: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the mode of the posterior of a patch, and the matrix of second derivatives before the last step.

    Args:
        problem: the events.
        mean: (d + 1,) mean of the prior.
        precision: (d + 1, d + 1) inverse of the covariance of the prior.
        steps: number of Newton steps.
        start: where to start; by default the mean.
    """
    theta = mean if start is None else start
    hessian = precision
    for _ in range(steps):
        p = sigmoid(problem.logit + problem.x @ theta)
        gradient = (p - problem.label) @ problem.x + precision @ (theta - mean)
        hessian = (problem.x * (p * (1 - p))[:, None]).T @ problem.x + precision
        step = np.linalg.solve(hessian, gradient)
        longest = float(np.abs(problem.x @ step).max(initial=0.0))
        theta = theta - step * min(1.0, _LONGEST / max(longest, 1e-12))
    return theta, hessian
