"""Calibration: a click rate that is predicted for a video should mean the same as one for an ad.

Each kind gets a scale and a shift of the logit (Platt, *Probabilistic Outputs for Support Vector Machines*, 1999).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.core.logistic import sigmoid

Floats = NDArray[np.float64]

PULL = np.array([25.0, 1.0])
"""How strongly the scale is pulled towards 1, and the mean shift towards 0: like 25 clicks, and like 1. So a kind with
few clicks keeps the differences that the model makes, and its level is that of its clicks."""
SCALES = (0.05, 5.0)
"""The smallest and the largest scale."""
_STEPS = 50


def calibrate(logits: Floats, clicked: Floats) -> tuple[float, float]:
    """Return scale and shift that minimise the log loss of ``sigmoid(scale * logit + shift)`` (Newton's method).

    Args:
        logits: (n,), the model's logits.
        clicked: (n,), 1 for a click, else 0.
    """
    if not len(logits):
        return 1.0, 0.0
    # Around their mean, the logits say nothing about the shift. So the pull of the scale does not change the level.
    middle = float(logits.mean())
    design = np.stack([logits - middle, np.ones(len(logits))], axis=1)
    none = np.array([1.0, 0.0])
    found = none.copy()
    for _ in range(_STEPS):
        predicted = sigmoid(design @ found + middle)
        slope = design.T @ (clicked - predicted) - PULL * (found - none)
        curvature = (design * (predicted * (1 - predicted))[:, None]).T @ design + np.diag(PULL)
        step = np.linalg.solve(curvature, slope)
        # Far from the optimum, Newton's steps can be too long.
        found += np.clip(step, -1, 1)
        found[0] = np.clip(found[0], *SCALES)
        if np.abs(step).max() < 1e-9:
            break
    scale = float(found[0])
    return scale, float(found[1]) + middle * (1 - scale)


def held_out(logits: Floats, clicked: Floats, users: NDArray[np.int64]) -> Floats:
    """Return click rates (n,) with a calibration that was fitted on other users: odd IDs for even ones, and vice versa.

    Args:
        logits: (n,), the model's logits.
        clicked: (n,), 1 for a click, else 0.
        users: (n,), the user of each exposure.
    """
    found = np.empty(len(logits))
    for half in (0, 1):
        own = users % 2 == half
        scale, shift = calibrate(logits[~own], clicked[~own])
        found[own] = sigmoid(scale * logits[own] + shift)
    return found


def calibration_error(predicted: Floats, clicked: Floats, *, bins: int = 10) -> float:
    """Return the expected calibration error: the mean distance between predicted and real rates in bins of equal size.

    Args:
        predicted: (n,), predicted click rates.
        clicked: (n,), 1 for a click, else 0.
        bins: number of bins. Each has about the same number of exposures.
    """
    order = np.argsort(predicted, kind="stable")
    total = 0.0
    for part in np.array_split(order, min(bins, max(len(order), 1))):
        if len(part):
            total += len(part) * abs(float(predicted[part].mean() - clicked[part].mean()))
    return total / max(len(order), 1)
