"""How far the results of two implementations of one function may be apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """``|found - expected| <= absolute + relative * |expected|``, number by number.

    Attributes:
        absolute: for numbers near 0.
        relative: for large numbers: float32 rounds by a share of what it adds up.
    """

    absolute: float
    relative: float = 0.0

    def allowed(self, expected: NDArray[Any]) -> NDArray[np.float64]:
        """How far each number may be from `expected` (n,)."""
        sizes = np.abs(expected.astype(np.float64))
        return self.absolute + self.relative * np.where(np.isfinite(sizes), sizes, 0.0)

    def exceeded(self, found: NDArray[Any], expected: NDArray[Any]) -> int | None:
        """The place of the number that is farthest beyond what is allowed; None where all (n,) are within it."""
        beyond = apart(found, expected) - self.allowed(expected)
        at = int(beyond.argmax())
        return at if beyond[at] > 0 else None


def apart(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """The absolute differences of two arrays (n,); infinite where one of both is infinite or NaN."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(found.astype(np.float64) - expected)
    return np.where(np.isnan(difference), np.inf, difference)
