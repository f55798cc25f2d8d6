"""The operations of each device model: how many commands MNN runs of each type, and how long they take."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from edgerec.bench.document import Operation
from edgerec.bench.measure import NANOSECONDS, Call, time_calls
from edgerec.bundle.model_checks import sessions_of
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.session import Session

RUNS = 50
WARM = 20
"""Number of plain runs for each observed run. Only the second half is used, because a run after an observed one is
slower."""


class Command(NamedTuple):
    """One command of a model.

    Attributes:
        type: the type.
        us: its duration in microseconds.
        overhead_us: how long MNN took to call back to Python. It is subtracted already.
    """

    type: str
    us: float
    overhead_us: float


def profile_of(model: DeviceModel, *, runs: int = RUNS) -> list[Operation]:
    """Return the operations of all device models, the longest first.

    The duration of a type is left out if it is shorter than the overhead that was subtracted from it. A small error
    of the overhead would then be a large part of the duration.
    """
    return [
        operation
        for name, session in sessions_of(model).items()
        for operation in _by_type(name, time_commands(session, runs=runs))
    ]


def time_commands(session: Session, *, runs: int = RUNS) -> list[Command]:
    """Return the commands of a model in their order. Their durations add up to that of a plain run.

    MNN calls back to Python before and after each command, which takes longer than many commands. This overhead is the
    difference between observed and plain runs, divided equally among the commands. It is at most the shortest duration
    of a command. What remains is scaled to a plain run, because code in Python between two commands also makes the
    commands slower.
    """
    execute = Call(session.execute, before=lambda: _write(session))
    plain, observed = [], []
    for _ in range(runs):
        plain += time_calls(execute, WARM)[0][WARM // 2 :]
        observed.append(session.time_commands())
    whole = statistics.median(plain)
    durations = np.median([[duration / NANOSECONDS for _, duration in run] for run in observed], axis=0)
    overhead = float(min(max(0.0, (durations.sum() - whole) / len(durations)), durations.min()))
    own = durations - overhead
    scale = whole / (float(own.sum()) or 1.0)
    return [Command(kind, float(us) * scale, overhead) for (kind, _), us in zip(observed[0], own, strict=True)]


def _write(session: Session) -> None:
    """Write the inputs that `Session.time_commands` writes."""
    for name in session.inputs:
        session.view(name)[...] = 1.0


def _by_type(stage: str, commands: list[Command]) -> list[Operation]:
    by_type: dict[str, list[Command]] = defaultdict(list)
    for command in commands:
        by_type[command.type].append(command)
    whole = sum(command.us for command in commands)
    sums = {kind: sum(command.us for command in each) for kind, each in by_type.items()}
    found = []
    for kind in sorted(by_type, key=lambda kind: -sums[kind]):
        each = by_type[kind]
        certain = sums[kind] > sum(command.overhead_us for command in each)
        found.append(
            Operation(
                stage=stage,
                type=kind,
                commands=len(each),
                mean_us=round(sums[kind], 3) if certain else None,
                share=round(sums[kind] / whole, 4) if certain else None,
            )
        )
    return found
