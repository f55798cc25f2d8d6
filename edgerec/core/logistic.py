"""The logistic function."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sigmoid(logits: Floats) -> Floats:
    """Return ``1 / (1 + exp(-x))`` for each logit x, without overflow."""
    result: Floats = 0.5 * (1 + np.tanh(0.5 * logits))
    return result
