"""Calibration across kinds: a click rate that is predicted for a video should mean the same as one for an ad.

Each kind gets a scale and a shift of the logit (Platt, *Probabilistic Outputs for Support Vector Machines*, 1999). They
are pulled towards 1 and 0, so that a kind with few clicks keeps the model's own logits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PULL = 10.0
"""How strongly scale and shift are pulled towards 1 and 0: as if the kind had this many more exposures."""
_STEPS = 50
SCALES = (0.05, 5.0)
"""The smallest and the largest scale."""


def rates(logits: Floats) -> Floats:
    """Return ``1 / (1 + exp(-x))`` for each logit, without overflow."""
    result: Floats = 0.5 * (1 + np.tanh(0.5 * logits))
    return result


def calibrate(logits: Floats, clicked: Floats) -> tuple[float, float]:
    """Return scale and shift that minimise the log loss of ``sigmoid(scale * logit + shift)`` (Newton's method).

    Args:
        logits: (n,), the model's logits.
        clicked: (n,), 1 for a click, else 0.
    """
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    start = np.array([1.0, 0.0])
    weights = start.copy()
    for _ in range(_STEPS):
        predicted = rates(design @ weights)
        gradient = design.T @ (predicted - clicked) + PULL * (weights - start)
        curvature = (design * (predicted * (1 - predicted))[:, None]).T @ design + PULL * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights -= np.clip(step, -1, 1)
        weights[0] = np.clip(weights[0], *SCALES)
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def calibration_error(predicted: Floats, clicked: Floats, *, bins: int = 15) -> float:
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
