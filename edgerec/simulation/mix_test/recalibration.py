"""Fit a second calibration to what a policy showed, on half of the users, and apply it to the other half."""

from __future__ import annotations

import numpy as np

from edgerec.simulation.mix_test.sums import Array

_PULL = np.array([25.0, 1.0])
"""Strength of the pull of scale and shift towards (1, 0), which changes nothing: that of about 25 clicks, and of 1."""
_STEPS = 50
_MOST_LOGIT = 15.0


def logits(rates: Array) -> Array:
    """Return the logits of click rates, cut off at +-15."""
    inside = np.clip(rates, 1e-7, 1 - 1e-7)
    return np.clip(np.log(inside / (1 - inside)), -_MOST_LOGIT, _MOST_LOGIT)


def fit_calibration(predicted: Array, clicked: Array) -> tuple[float, float]:
    """Return scale and shift of ``sigmoid(scale x logit(predicted) + shift)``, fitted to clicks by maximum likelihood.

    A weak pull towards scale 1 and shift 0 keeps the fit finite if there are few clicks or none.

    Args:
        predicted: (n,) predicted click rates.
        clicked: (n,) 1 for a click, else 0.
    """
    if not len(predicted):
        return 1.0, 0.0
    # Around their mean, the logits say nothing about the shift. So few clicks still give a good one.
    own = logits(predicted)
    middle = float(own.mean())
    design = np.stack([own - middle, np.ones(len(own))], axis=1)
    found = np.array([1.0, 0.0])
    none = found.copy()
    for _ in range(_STEPS):
        rates = 1 / (1 + np.exp(-(design @ found + middle)))
        slope = design.T @ (clicked - rates) - _PULL * (found - none)
        curvature = (design * (rates * (1 - rates))[:, None]).T @ design + np.diag(_PULL)
        step = np.linalg.solve(curvature, slope)
        # Newton's steps can be too long far from the optimum.
        found += step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-9:
            break
    scale = float(found[0])
    return scale, float(found[1]) + middle * (1 - scale)


def recalibrated(predicted: Array, clicked: Array, halves: Array) -> Array:
    """Return predicted click rates (n,) with a calibration that was fitted on the other half of the users.

    Args:
        predicted: (n,) predicted click rates.
        clicked: (n,) 1 for a click, else 0.
        halves: (n,) 0 or 1: the half to which the user of each card belongs.
    """
    found = predicted.copy()
    for half in (0, 1):
        scale, shift = fit_calibration(predicted[halves != half], clicked[halves != half])
        own = halves == half
        found[own] = 1 / (1 + np.exp(-(scale * logits(predicted[own]) + shift)))
    return found
