"""The operations of each device model: how many commands MNN runs of each type, and how long they take."""

from __future__ import annotations

import statistics
from collections import defaultdict

import numpy as np

from edgerec.bench.document import Operation
from edgerec.bench.measure import NANOSECONDS, time_calls
from edgerec.bundle.model_checks import sessions_of
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.session import Session

RUNS = 50


def profile_of(model: DeviceModel, *, runs: int = RUNS) -> list[Operation]:
    """Return the operations of all device models, the longest first.

    MNN calls back to Python before and after each command, which takes longer than many commands. This overhead is the
    difference between observed runs and plain runs, and is divided equally among the commands. So the durations of one
    model add up to those of a plain run, but a command that takes less than a microsecond is not measured exactly.
    """
    return [operation for name, session in sessions_of(model).items() for operation in _operations(name, session, runs)]


def _operations(stage: str, session: Session, runs: int) -> list[Operation]:
    def plain() -> None:
        for name in session.inputs:
            session.view(name)[...] = 1.0
        session.execute()

    observed, whole = [], []
    for _ in range(runs):
        whole += time_calls(plain, 1)[0]
        observed.append(session.time_commands())
    types = [kind for kind, _ in observed[0]]
    durations = np.median([[duration / NANOSECONDS for _, duration in run] for run in observed], axis=0)
    overhead = max(0.0, float(durations.sum()) - statistics.median(whole)) / len(types)
    by_type: dict[str, list[float]] = defaultdict(list)
    for kind, duration in zip(types, durations, strict=True):
        by_type[kind].append(max(float(duration) - overhead, 0.0))
    total = sum(map(sum, by_type.values())) or 1.0
    found = [
        Operation(
            stage=stage,
            type=kind,
            commands=len(each),
            mean_us=round(sum(each), 3),
            share=round(sum(each) / total, 4),
        )
        for kind, each in by_type.items()
    ]
    return sorted(found, key=lambda operation: -operation.share)
