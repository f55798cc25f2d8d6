"""Fit a second calibration to what a policy showed, on half of the users, and apply it to the other half."""

from __future__ import annotations

import numpy as np

from edgerec.mixing.calibration import held_out
from edgerec.simulation.mix_test.sums import Array

_MOST_LOGIT = 15.0


def logits(rates: Array) -> Array:
    """Return the logits of click rates, cut off at +-15."""
    inside = np.clip(rates, 1e-7, 1 - 1e-7)
    return np.clip(np.log(inside / (1 - inside)), -_MOST_LOGIT, _MOST_LOGIT)


def recalibrated(predicted: Array, clicked: Array, halves: Array) -> Array:
    """Return predicted click rates (n,) with a calibration that was fitted on the other half of the users.

    Args:
        predicted: (n,) predicted click rates.
        clicked: (n,) 1 for a click, else 0.
        halves: (n,) 0 or 1: the half to which the user of each card belongs.
    """
    return held_out(logits(predicted), clicked, halves.astype(np.int64))
