"""`edgerec`, but each measured call takes 10 % longer: python -m tests.proof.slowed_edgerec bench step BUNDLE

After the call, the process spins for 10 % of the call's duration. The time that the wrapper itself needs is measured
first and taken from the spin.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edgerec.bench import measure
from edgerec.cli import main

SLOWDOWN = 0.1
time_calls = measure.time_calls


def slowed(run: Callable[[], Any], *, overhead_ns: float) -> Callable[[], Any]:
    """Return `run`, slowed down."""
    clock = time.perf_counter_ns

    def call() -> Any:
        start = clock()
        found = run()
        end = clock()
        until = end + SLOWDOWN * (end - start) - overhead_ns
        while clock() < until:
            pass
        return found

    return call


def wrapper_overhead_ns(calls: int = 2000) -> float:
    """Return by how much the wrapper alone makes a call longer."""
    empty = int
    plain, wrapped = (
        statistics.median(time_calls(run, calls)[0]) for run in (empty, slowed(empty, overhead_ns=float("inf")))
    )
    return 1000 * (wrapped - plain)


OVERHEAD_NS = wrapper_overhead_ns()


def time_slowed_calls(call: Any, count: int) -> tuple[list[float], float]:
    """Time calls as `edgerec.bench.measure.time_calls` does, but of a slowed function."""
    if isinstance(call, measure.Call):
        return time_calls(replace(call, run=slowed(call.run, overhead_ns=OVERHEAD_NS)), count)
    return time_calls(slowed(call, overhead_ns=OVERHEAD_NS), count)


# The models run in a process of their own, which imports this module as `__mp_main__`. So this line is at the top.
measure.time_calls = time_slowed_calls

if __name__ != "__mp_main__":
    main()
