"""`edgerec bench memory`: the memory of a device process after each phase."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from edgerec.bench.device_process import HALF, STEADY
from edgerec.bench.document import Memory
from edgerec.bench.fresh_process import Started, fresh_process

PROCESSES = 3
RERANKS = 500
BASE, PEAK = "import MNN", "peak"


class _Reading(NamedTuple):
    """The memory of one process in bytes. `private` is None if the system does not tell it."""

    resident: int
    private: int | None


def measure_memory(bundle: Path, *, processes: int = PROCESSES, reranks: int = RERANKS) -> list[Memory]:
    """Start `processes` device processes, one after the other. Return their memory after each phase.

    The phases up to `first order` are those of `measure_cold`. Then a process records behaviours, and re-ranks after
    every fourth one. `half of the use` and `steady` are the two halves of this, so memory that grows with every re-rank
    shows as a difference between them. `peak` is the largest resident memory at any time.

    Raises:
        SessionError: a device process reports an error, or it crashes. Other errors are those of `load_device_model`.
    """
    with fresh_process(bundle) as fresh:
        found = []
        for _ in range(processes):
            with fresh.start("wait", reranks=reranks) as started:
                found.append(dict(_read(started)))
    growths = [(one[STEADY].resident - one[HALF].resident) / (reranks - reranks // 2) for one in found]
    rows = [_row(phase, [one[phase] for one in found], [one[BASE].resident for one in found]) for phase in found[0]]
    growth = round(statistics.median(growths), 1)
    return [row.model_copy(update={"growth_bytes": growth}) if row.phase == STEADY else row for row in rows]


def _row(phase: str, readings: list[_Reading], bases: list[int]) -> Memory:
    residents = [one.resident for one in readings]
    privates = [one.private for one in readings if one.private is not None]
    above = [resident - base for resident, base in zip(residents, bases, strict=True)]
    return Memory(
        phase=phase,
        resident_bytes=round(statistics.median(residents)),
        private_bytes=round(statistics.median(privates)) if privates else None,
        above_base_bytes=round(statistics.median(above)),
        samples_bytes=residents,
    )


def _read(started: Started) -> Iterator[tuple[str, _Reading]]:
    """Yield each phase of a process and its memory after this phase, then the peak."""
    process = psutil.Process(started.process.pid)
    peak = 0
    for phase in started.phases():
        reading = _reading(process)
        peak = max(peak, reading.resident, _peak(process))
        yield phase, reading
        started.proceed()
    yield PEAK, _Reading(peak, None)


def _reading(process: psutil.Process) -> _Reading:
    try:
        full = process.memory_full_info()
        return _Reading(full.rss, full.uss)
    except (psutil.AccessDenied, AttributeError):
        return _Reading(process.memory_info().rss, None)


def _peak(process: psutil.Process) -> int:
    """Return the largest resident memory of a process so far, or 0 if the system does not tell it."""
    try:
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")), 0)
    except OSError:
        return int(getattr(process.memory_info(), "peak_wset", 0))
