"""Whether the machine was steady while a row was measured. Figures of an unsteady row should not be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from edgerec.bench.values import Environment

UNSTABLE = 1.5
"""If the medians of rounds differ by more than this factor, another program probably used the processor."""
SPREAD = 0.1
"""Largest distance between the quartiles of the medians of rounds, divided by their median."""
DRIFT, DRIFT_ROUNDS, DRIFT_Z = 0.05, 9, 3.0
"""The last third of the rounds may differ from the first third by this part. A difference only counts if there are this
many rounds, and if the rank correlation of medians and round numbers is this many standard errors from 0."""
COLD = "the durations had not become stable when the first round began"
"""The reason for rows whose warm-up ended before their durations were stable."""
BUSY = 0.5
"""A load of the last minute above this part of the usable cores is that of other programs."""
WAITED = 1.25
"""If a call takes this many times the processor time that it uses, the process was waiting."""


def is_busy(machine: Environment) -> bool:
    """Return whether other programs used much of the machine when a measurement began."""
    load, cores = machine.load_start, machine.cores_usable
    return load is not None and cores is not None and load > BUSY * cores


def spread(medians: Sequence[float]) -> float:
    """Return the distance between the quartiles of the medians of rounds, divided by their median."""
    low, middle, high = np.percentile(medians, [25, 50, 75])
    return float((high - low) / middle) if middle else 0.0


def reasons(rounds: Sequence[Sequence[float]], cpu: Sequence[float] = (), *, warm: bool = True) -> list[str]:
    """Return why the figures of a row should not be trusted, as sentences. An empty list means that they can be.

    Args:
        rounds: durations of the calls in each round, in the order in which they were measured.
        cpu: for each round, the processor time of a call.
        warm: whether the durations were stable before the first round.
    """
    medians = [statistics.median(samples) for samples in rounds]
    found = [] if warm else [COLD]
    ordered = sorted(medians)
    factor = ordered[int(0.9 * (len(ordered) - 1))] / ordered[0] if ordered[0] else 1.0
    if factor > UNSTABLE:
        found.append(f"medians of rounds differ by a factor of {factor:.1f}")
    wide = spread(medians)
    if wide > SPREAD:
        found.append(f"quartiles of the medians of rounds are {wide:.0%} apart")
    change = _drift(medians)
    if abs(change) > DRIFT:
        found.append(f"the last third of the rounds is {abs(change):.0%} {'slower' if change > 0 else 'faster'}")
    if cpu:
        pairs = zip(rounds, cpu, strict=True)
        waited = statistics.median(_mean(samples) / used if used else 1.0 for samples, used in pairs)
        if waited > WAITED:
            found.append(f"a call takes {waited:.1f} times its processor time, so the process was waiting")
    return found


def _drift(medians: Sequence[float]) -> float:
    """Return by which part the last third of the rounds is slower than the first third, or 0 if there is no trend.

    A trend is tested with Spearman's rank correlation. Its standard error without a trend is 1 / sqrt(n - 1).
    """
    count = len(medians)
    if count < DRIFT_ROUNDS:
        return 0.0
    ranks = np.argsort(np.argsort(medians))
    correlation = float(np.corrcoef(ranks, np.arange(count))[0, 1])
    if abs(correlation) * math.sqrt(count - 1) < DRIFT_Z:
        return 0.0
    third = count // 3
    return statistics.median(medians[-third:]) / statistics.median(medians[:third]) - 1.0


def _mean(samples: Sequence[float]) -> float:
    return sum(samples) / len(samples)
