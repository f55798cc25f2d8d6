"""What `edgerec bench all` says before it begins: what it will measure, and about how long that takes."""

from __future__ import annotations

import math

from edgerec.bench.plan import ALL, COLD, MEMORY, PERSONAL, WHAT, Plan
from edgerec.core.text import counted

PROCESS_S, ROUND_S, COLD_S, MEMORY_S = 9.0, 1.0, 1.0, 4.0
"""Seconds of a process with its warm-ups, of a round, and of a device process for `cold` and for `memory`.

Those of `crban` with one layer on two cores of a server."""
WITHOUT_SWEEP = 0.6
"""What is left of processes and rounds without sweeps."""
WITH_PEERS = 2.0
"""How much longer processes and rounds are with other engines."""


def seconds_of(plan: Plan) -> float:
    """Return about how many seconds a plan takes on a machine without other work."""
    timed = (PROCESS_S * len(plan.shares) + ROUND_S * plan.rounds) * (1 + len(plan.beside))
    timed *= (1.0 if plan.sweep else WITHOUT_SWEEP) * (WITH_PEERS if plan.peers else 1.0)
    return timed + COLD_S * plan.starts(COLD) + MEMORY_S * plan.starts(MEMORY) + (plan.sustained or 0.0)


def announcement(plan: Plan) -> str:
    """Return the line for a plan that measures all."""
    names = {PERSONAL: f"{PERSONAL} (if the bundle has a head of patches)"}
    parts = ", ".join(names.get(what, what) for what in WHAT if what != ALL)
    seconds = seconds_of(plan)
    long = f"{math.ceil(seconds / 60)} minutes" if seconds > 90 else f"{math.ceil(seconds / 10) * 10} seconds"
    rounds = counted(plan.rounds, "round", "rounds")
    processes = counted(len(plan.shares), "process", "processes")
    return (
        f"bench: measures {parts}{' and sweeps' if plan.sweep else ''}, with {rounds} in {processes}. This takes about "
        f"{long} without other work, and several times as long on a busy or small machine. --no-sweep, fewer --rounds "
        "and fewer --processes make it shorter"
    )
