"""The durations that a replay measures, by name."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgerec.core.statistics import percentiles

MS = 1e6
"""Nanoseconds in a millisecond."""
QUANTILES = (*(number / 200 for number in range(200)), 0.999, 1.0)
"""The quantiles of each duration that the document has, so that a page can draw its distribution."""


class Spans:
    """Collects durations."""

    def __init__(self) -> None:
        self._durations: dict[str, list[int]] = defaultdict(list)

    def add(self, name: str, nanoseconds: int) -> None:
        self._durations[name].append(nanoseconds)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the block. If it raises an error, nothing is added."""
        start = time.perf_counter_ns()
        yield
        self.add(name, time.perf_counter_ns() - start)

    def count(self, name: str) -> int:
        """Return the number of durations with this name."""
        return len(self._durations.get(name, ()))

    def total_ms(self, name: str) -> float:
        """Return the sum of the durations with this name in milliseconds."""
        return sum(self._durations.get(name, ())) / MS

    def summary(self, name: str) -> dict[str, Any] | None:
        """Return number, percentiles, maximum and `QUANTILES` in milliseconds, or None if nothing has this name."""
        values = np.array(self._durations.get(name, ()), np.float64) / MS
        if not len(values):
            return None
        return {
            "n": len(values),
            **percentiles(values),
            "max": float(values.max()),
            "quantiles_ms": np.quantile(values, QUANTILES).tolist(),
        }
