"""Measure calls that take microseconds. The contestants take turns, and every sample is kept."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgerec.core.statistics import percentiles

UNSTABLE = 1.5
"""If the medians of rounds differ by more than this factor, another program used the machine."""


@dataclass(frozen=True)
class Measured:
    """The durations of all calls of one contestant, in microseconds.

    Attributes:
        warmup: durations before the first round.
        rounds: durations of the calls in each round.
    """

    warmup: list[float]
    rounds: list[list[float]]

    @property
    def medians(self) -> list[float]:
        """The median of each round."""
        return [statistics.median(samples) for samples in self.rounds]

    @property
    def unstable(self) -> bool:
        """Whether the machine was too busy to trust small differences."""
        ordered = sorted(self.medians)
        return ordered[int(0.9 * (len(ordered) - 1))] > UNSTABLE * ordered[0]

    def row(self, *, name: str, stage: str) -> dict[str, Any]:
        """Return the contestant's row for a bench document."""
        samples = np.array([sample for samples in self.rounds for sample in samples])
        return {
            "name": name,
            "stage": stage,
            "n": len(samples),
            **{f"{key}_us": round(value, 3) for key, value in percentiles(samples).items()},
            "min_us": round(float(samples.min()), 3),
            "unstable": self.unstable,
            "warmup_us": [round(sample, 2) for sample in self.warmup],
            "samples_us": [[round(sample, 2) for sample in samples] for samples in self.rounds],
        }


def take_turns(
    contestants: Mapping[str, Callable[[], Any]], *, rounds: int, calls: int, warmup: int
) -> dict[str, Measured]:
    """Time `calls` calls of each contestant in each of `rounds`. The contestants take turns within a round.

    A busy period of the machine slows all contestants of a round, so ratios within a round stay valid. The garbage
    collector is off during a round.
    """
    warmups = {name: _time(call, warmup) for name, call in contestants.items()}
    samples: dict[str, list[list[float]]] = {name: [] for name in contestants}
    was_enabled = gc.isenabled()
    try:
        for number in range(rounds):
            names = list(contestants)
            # The first contestant changes, so that nobody always benefits from the caches of another.
            first = number % len(names)
            gc.collect()
            gc.disable()
            for name in names[first:] + names[:first]:
                samples[name].append(_time(contestants[name], calls))
            if was_enabled:
                gc.enable()
    finally:
        if was_enabled:
            gc.enable()
    return {name: Measured(warmups[name], samples[name]) for name in contestants}


def ratios(ours: Measured, peer: Measured) -> dict[str, float]:
    """Return the ratios of our p50 to the peer's p50 in each round: `median`, `min`, `max`."""
    values = [mine / other for mine, other in zip(ours.medians, peer.medians, strict=True)]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _time(call: Callable[[], Any], count: int) -> list[float]:
    clock = time.perf_counter_ns
    durations = []
    for _ in range(count):
        start = clock()
        call()
        durations.append((clock() - start) / 1000)
    return durations
