"""Sustained measurement: one call repeated for minutes, because a device becomes slower when it becomes warm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgerec.bench.document import Interval
from edgerec.bench.environment import frequency_mhz, temperature_c
from edgerec.bench.measure import Call, time_calls

INTERVALS = 60
SHORTEST_S = 0.1
SLOWER = 1.1
"""The machine became slower if the p50 of the last quarter is this many times that of the first quarter."""


def run_sustained(call: Callable[[], Any] | Call, *, stage: str, name: str, seconds: float) -> list[Interval]:
    """Call again and again for `seconds`. Return the durations in intervals of equal length, each with a call."""
    length = max(SHORTEST_S, seconds / INTERVALS)
    start = time.perf_counter()
    intervals = []
    while (began := time.perf_counter() - start) < seconds:
        durations: list[float] = []
        while not durations or time.perf_counter() - start - began < length:
            durations += time_calls(call, 1)[0]
        p50, p99 = np.percentile(durations, [50, 99])
        current = frequency_mhz()
        intervals.append(
            Interval(
                stage=stage,
                name=name,
                second=round(began, 2),
                n=len(durations),
                p50_us=round(float(p50), 3),
                p99_us=round(float(p99), 3),
                frequency_mhz=current,
                temperature_c=temperature_c(),
            )
        )
    return intervals


def slowed(intervals: list[Interval]) -> float | None:
    """Return the p50 of the last quarter divided by that of the first quarter, if the machine became slower."""
    quarter = len(intervals) // 4
    if not quarter:
        return None
    first, last = (
        float(np.median([one.p50_us for one in part])) for part in (intervals[:quarter], intervals[-quarter:])
    )
    return last / first if last > SLOWER * first else None
