"""Measuring calls of microseconds fairly: contestants take turns, every sample is kept."""

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
"""Rounds whose medians differ by more than this factor say that something else used the machine."""


@dataclass(frozen=True)
class Measured:
    """Samples of one contestant, in microseconds.

    Attributes:
        warmup: of the calls before the first round.
        rounds: of each round's calls.
    """

    warmup: list[float]
    rounds: list[list[float]]

    @property
    def medians(self) -> list[float]:
        """The median of each round."""
        return [statistics.median(samples) for samples in self.rounds]

    @property
    def unstable(self) -> bool:
        """Whether the machine was too restless to trust a small difference."""
        ordered = sorted(self.medians)
        return ordered[int(0.9 * (len(ordered) - 1))] > UNSTABLE * ordered[0]

    def row(self, *, name: str, stage: str) -> dict[str, Any]:
        """The contestant's row of a bench document."""
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
    """Time each contestant `calls` times in each of `rounds`, one after the other within a round.

    Whatever slows the machine for a while slows all of them, so that ratios within a round hold. The garbage collector
    is off while a round runs.
    """
    warm = {name: _time(call, warmup) for name, call in contestants.items()}
    samples: dict[str, list[list[float]]] = {name: [] for name in contestants}
    collecting = gc.isenabled()
    try:
        for number in range(rounds):
            names = list(contestants)
            # Who goes first changes, so that nobody always runs on another's warm or cold caches.
            turn = number % len(names)
            gc.collect()
            gc.disable()
            for name in names[turn:] + names[:turn]:
                samples[name].append(_time(contestants[name], calls))
            if collecting:
                gc.enable()
    finally:
        if collecting:
            gc.enable()
    return {name: Measured(warm[name], samples[name]) for name in contestants}


def ratios(ours: Measured, peer: Measured) -> dict[str, float]:
    """Our p50 over the peer's, round by round: `median`, `min`, `max`."""
    values = [mine / other for mine, other in zip(ours.medians, peer.medians, strict=True)]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _time(call: Callable[[], Any], count: int) -> list[float]:
    clock = time.perf_counter_ns
    found = []
    for _ in range(count):
        start = clock()
        call()
        found.append((clock() - start) / 1000)
    return found
