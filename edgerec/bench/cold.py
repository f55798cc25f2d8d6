"""`edgerec bench cold`: the time from starting a device process to its first order, in parts."""

from __future__ import annotations

import statistics
from pathlib import Path

from edgerec.bench.document import TOTAL, Phase
from edgerec.bench.fresh_process import fresh_process

PROCESSES = 10


def measure_cold(bundle: Path, *, processes: int = PROCESSES) -> list[Phase]:
    """Start `processes` device processes, one after the other. Return the duration of each phase, and the total.

    A process starts Python, imports NumPy, MNN and EdgeRec, loads the bundle, opens a behaviour store with full
    windows, gets a page in the format of a server, and orders it. The page comes from a file, not over a network.

    Raises:
        SessionError: a device process reports an error, or it crashes. Other errors are those of `load_device_model`.
    """
    samples: dict[str, list[float]] = {}
    with fresh_process(bundle) as fresh:
        for _ in range(processes):
            with fresh.start("time") as started:
                before = started.begun
                for line in started.phases():
                    instant, phase = line.split(" ", 1)
                    samples.setdefault(phase, []).append((int(instant) - before) / 1e6)
                    before = int(instant)
                samples.setdefault(TOTAL, []).append((before - started.begun) / 1e6)
    return [
        Phase(
            phase=phase,
            median_ms=round(statistics.median(found), 3),
            min_ms=round(min(found), 3),
            max_ms=round(max(found), 3),
            samples_ms=[round(one, 3) for one in found],
        )
        for phase, found in samples.items()
    ]
