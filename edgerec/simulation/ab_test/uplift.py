"""The uplift of one metric: how much larger it is in one bucket than in another, relative to the other."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Uplift:
    """A relative uplift. A figure that the data cannot give is None.

    Attributes:
        mean: the ratio of both buckets' values minus 1. None if the metric is 0 or unknown in the bucket that the
            other one is compared with.
        ci95: the 95 % confidence interval of `mean`. None if the metric has no spread, or there are too few users.
        p: the two-sided p-value of no uplift. None as for `ci95`.
    """

    mean: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None

    @classmethod
    def of(cls, mean: float, low: float, high: float, p: float) -> Uplift:
        """Return the uplift with None for every figure that is NaN or infinite."""
        interval = (float(low), float(high))
        return cls(
            mean=float(mean) if math.isfinite(mean) else None,
            ci95=interval if all(map(math.isfinite, interval)) else None,
            p=float(p) if math.isfinite(p) else None,
        )


UNKNOWN = Uplift()
"""The uplift of a metric that is 0 in the bucket of comparison, or of fewer than two users."""
