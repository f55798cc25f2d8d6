"""The direct model of the doubly robust estimator: a calibrated sigmoid of the logged scores."""

from __future__ import annotations

import numpy as np

from edgerec.core.logistic import sigmoid
from edgerec.off_policy.candidate_orders import Floats
from edgerec.off_policy.places import Places

FOLDS = 2
_RIDGE = 1e-3
"""Keeps the fit finite if scores separate clicks from other exposures, or if all scores are equal."""
_STEPS = 25


def click_probabilities(places: Places) -> Floats:
    """Return the estimated click probability of each of the best candidates. Shape (n, m), with NaN where none is.

    Users are divided into two halves. The sigmoid for one half is fitted on the places of the other half (cross-fit).
    So a place does not influence its own estimate, and the estimator stays unbiased.

    Source: Platt, *Probabilistic outputs for support vector machines* (1999); Chernozhukov et al., *Double/debiased
    machine learning* (2018), for the cross-fit.
    """
    _, user = np.unique(places.user, return_inverse=True)
    fold = user % FOLDS
    score = np.take_along_axis(places.score, places.shown[:, None], axis=1)[:, 0]
    probabilities = np.empty_like(places.score)
    for number in range(FOLDS):
        other = fold != number
        intercept, slope = _fit(score[other], places.clicked[other])
        probabilities[~other] = sigmoid(intercept + slope * places.score[~other])
    return probabilities


def _fit(score: Floats, clicked: Floats) -> tuple[float, float]:
    """Return intercept and slope of a logistic regression, by Newton's method. Without places, both are 0."""
    if not len(score):
        return 0.0, 0.0
    middle, spread = float(score.mean()), float(score.std()) or 1.0
    columns = np.stack([np.ones_like(score), (score - middle) / spread], axis=1)
    weights = np.zeros(2)
    for _ in range(_STEPS):
        predicted = sigmoid(columns @ weights)
        gradient = columns.T @ (clicked - predicted) - _RIDGE * weights
        curvature = (columns.T * (predicted * (1 - predicted))) @ columns + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights += np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-9:
            break
    slope = float(weights[1]) / spread
    return float(weights[0]) - slope * middle, slope
