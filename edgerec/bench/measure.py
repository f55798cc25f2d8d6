"""Measure calls that take microseconds. Several implementations are measured in turns, and each duration is kept."""

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
"""If the medians of rounds differ by more than this factor, the machine was probably busy with another program."""


@dataclass(frozen=True)
class Durations:
    """The durations of all calls of one implementation, in microseconds.

    Attributes:
        warmup: durations of the calls before the first round.
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
        """Return the results of one implementation as a row of the JSON document of `edgerec bench`."""
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
    implementations: Mapping[str, Callable[[], Any]], *, rounds: int, calls: int, warmup: int
) -> dict[str, Durations]:
    """Measure each implementation `calls` times in each of `rounds` rounds. Return the durations by name.

    A round measures all implementations, one after the other. If the machine is busy for a while, it slows all of them,
    so ratios within a round stay valid. The garbage collector is off during a round.
    """
    warmups = {name: _time(call, warmup) for name, call in implementations.items()}
    samples: dict[str, list[list[float]]] = {name: [] for name in implementations}
    was_enabled = gc.isenabled()
    try:
        for number in range(rounds):
            names = list(implementations)
            # Each round starts with another implementation, so that none always runs after the same one, whose data
            # may still be in the caches.
            first = number % len(names)
            gc.collect()
            gc.disable()
            for name in names[first:] + names[:first]:
                samples[name].append(_time(implementations[name], calls))
            if was_enabled:
                gc.enable()
    finally:
        if was_enabled:
            gc.enable()
    return {name: Durations(warmups[name], samples[name]) for name in implementations}


def ratios(ours: Durations, peer: Durations) -> dict[str, float]:
    """Divide our p50 of each round by the peer's p50. Return `median`, `min` and `max` of these ratios."""
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
