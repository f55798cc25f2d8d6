"""The allowed difference between two implementations of the same function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """An elementwise tolerance: ``|actual - expected| <= absolute + relative * |expected|``.

    Attributes:
        absolute: limit for numbers near 0.
        relative: limit for large numbers, because rounding errors of float32 grow with the numbers.
    """

    absolute: float
    relative: float = 0.0

    def allowed(self, expected: NDArray[Any]) -> NDArray[np.float64]:
        """Return the allowed absolute difference for each number of `expected` (n,)."""
        sizes = np.abs(expected.astype(np.float64))
        return self.absolute + self.relative * np.where(np.isfinite(sizes), sizes, 0.0)

    def worst_index(self, actual: NDArray[Any], expected: NDArray[Any]) -> int | None:
        """Return the index of the number that exceeds the tolerance most; None if no number (n,) exceeds it."""
        excess = absolute_difference(actual, expected) - self.allowed(expected)
        worst = int(excess.argmax())
        return worst if excess[worst] > 0 else None


def absolute_difference(actual: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """Return the absolute differences of two arrays (n,). A difference is infinite if a number is not finite."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(actual.astype(np.float64) - expected)
    return np.where(np.isnan(difference), np.inf, difference)
