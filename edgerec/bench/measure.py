"""Measure calls that take microseconds. Several implementations are measured in turns, and each duration is kept."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgerec.bench.turns import wait_for_turn
from edgerec.core.console import progress_lines

Name = TypeVar("Name", bound=Hashable)

NANOSECONDS = 1000
"""Number of nanoseconds in a microsecond, the unit of all durations here."""
STABLE, WINDOWS = 1.05, 3
"""A call is warm if the medians of the last `WINDOWS` windows differ by at most the factor `STABLE`."""
MOST_WINDOWS, MOST_SECONDS = 12, 1.0
"""After so many windows or seconds, the rounds begin, even if the call is not warm."""
ROUND_SECONDS, LEAST_CALLS = 0.05, 5
"""A slow implementation is called less often in a round or a window, so that its calls take about this long."""


@dataclass(frozen=True)
class Call:
    """A function to measure, with work around each call that is not measured.

    Attributes:
        run: is measured.
        before: runs before each call.
        after: runs after each call.
    """

    run: Callable[[], Any]
    before: Callable[[], Any] = lambda: None
    after: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Durations:
    """The durations of all calls of one implementation in one process, in microseconds.

    Attributes:
        warmup: durations of the calls before the first round.
        rounds: durations of the calls in each round.
        cpu: for each round, the processor time of the process per call. It includes all threads.
        warm: whether the durations were stable when the first round began.
    """

    warmup: list[float]
    rounds: list[list[float]]
    cpu: list[float] = field(default_factory=list)
    warm: bool = True

    @property
    def medians(self) -> list[float]:
        """The median of each round."""
        return [statistics.median(samples) for samples in self.rounds]


def take_turns(
    implementations: Mapping[Name, Callable[[], Any] | Call],
    *,
    rounds: int,
    calls: int,
    warmup: int | None = None,
    what: str = "rounds",
) -> dict[Name, Durations]:
    """Measure each implementation `calls` times in each of `rounds` rounds. Return the durations by name.

    A round measures all implementations, one after the other. If the machine is busy for a while, it slows all of them,
    so ratios within a round stay valid. The garbage collector is off during a round.

    Args:
        implementations: the functions, by a name.
        rounds: number of rounds.
        calls: number of calls of each implementation in a round. Without `warmup`, slow ones are called less often.
        warmup: number of calls before the first round. None: until the durations are stable.
        what: name of the rounds in lines about progress, which are written between two rounds.
    """
    wait_for_turn()
    warmups = {
        name: warm_up(call, calls) if warmup is None else (time_calls(call, warmup)[0], True)
        for name, call in implementations.items()
    }
    counts = {
        name: calls if warmup is not None else calls_in_round(durations, calls)
        for name, (durations, _) in warmups.items()
    }
    samples: dict[Name, list[list[float]]] = {name: [] for name in implementations}
    cpu: dict[Name, list[float]] = {name: [] for name in implementations}
    was_enabled = gc.isenabled()
    try:
        for number in progress_lines(range(rounds), what=what, total=rounds):
            wait_for_turn()
            names = list(implementations)
            # Each round starts with another implementation, so that none always runs after the same one, whose data
            # may still be in the caches.
            first = number % len(names)
            gc.collect()
            gc.disable()
            for name in names[first:] + names[:first]:
                durations, used = time_calls(implementations[name], counts[name])
                samples[name].append(durations)
                cpu[name].append(used)
            if was_enabled:
                gc.enable()
    finally:
        if was_enabled:
            gc.enable()
    return {name: Durations(durations, samples[name], cpu[name], warm) for name, (durations, warm) in warmups.items()}


def warm_up(call: Callable[[], Any] | Call, calls: int) -> tuple[list[float], bool]:
    """Call until the durations are stable. Return all durations, and whether they became stable.

    A window has `calls` calls, or fewer if they are slow. There are always `WINDOWS` windows.
    """
    durations: list[float] = []
    medians: list[float] = []
    count, start = min(calls, LEAST_CALLS), time.perf_counter()
    while len(medians) < WINDOWS or (len(medians) < MOST_WINDOWS and time.perf_counter() - start < MOST_SECONDS):
        found, _ = time_calls(call, count)
        durations += found
        medians.append(statistics.median(found))
        last = medians[-WINDOWS:]
        if len(last) == WINDOWS and max(last) <= STABLE * min(last):
            return durations, True
        count = calls_in_round(found, calls)
    return durations, False


def calls_in_round(durations: list[float], calls: int) -> int:
    """Return the number of calls in a round, at most `calls`, from the durations before the first round."""
    fit = int(ROUND_SECONDS * 1e6 / max(statistics.median(durations), 1e-3))
    return min(calls, max(fit, LEAST_CALLS))


def ratios(ours: Durations, peer: Durations) -> dict[str, float]:
    """Divide our p50 of each round by the peer's p50. Return `median`, `min` and `max` of these ratios."""
    values = [mine / other for mine, other in zip(ours.medians, peer.medians, strict=True)]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def time_calls(call: Callable[[], Any] | Call, count: int) -> tuple[list[float], float]:
    """Call `count` times. Return the duration of each call, and the processor time per call, in microseconds."""
    if isinstance(call, Call):
        return _time_prepared(call, count)
    clock = time.perf_counter_ns
    durations = []
    # The processor's clock is read once for all calls, because that takes as long as a short call.
    used = time.process_time_ns()
    for _ in range(count):
        start = clock()
        call()
        durations.append((clock() - start) / NANOSECONDS)
    return durations, (time.process_time_ns() - used) / NANOSECONDS / count


def _time_prepared(call: Call, count: int) -> tuple[list[float], float]:
    durations, used = [], 0
    for _ in range(count):
        call.before()
        used -= time.process_time_ns()
        start = time.perf_counter_ns()
        call.run()
        durations.append((time.perf_counter_ns() - start) / NANOSECONDS)
        used += time.process_time_ns()
        call.after()
    return durations, used / NANOSECONDS / count
