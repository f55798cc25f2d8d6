"""Scores as click probabilities."""

from __future__ import annotations

import math


def probability(logit: float) -> float:
    """Return the click probability of a logit, ``1 / (1 + exp(-logit))``."""
    return 1 / (1 + math.exp(-min(max(float(logit), -500.0), 500.0)))


def points(logit: float, without: float) -> float:
    """Return the difference of two click probabilities in percentage points."""
    return 100 * (probability(logit) - probability(without))
