"""Cold starts and memory are measured in fresh device processes."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import pytest

from edgerec.bench import fresh_process
from edgerec.bench.cold import measure_cold
from edgerec.bench.device_process import HALF, STEADY
from edgerec.bench.document import TOTAL
from edgerec.bench.memory import BASE, PEAK, measure_memory
from edgerec.core.errors import IntegrityError, SessionError

START = ["start Python", "import numpy", BASE]
PHASES = [
    "import edgerec",
    "read and check the bundle",
    "create the sessions",
    "open the store",
    "create the client",
    "first page and its item vectors",
    "first order",
]


def test_a_cold_start_is_measured_in_parts_that_add_up_to_the_total(bundle_path: Path) -> None:
    processes = 1
    rows = measure_cold(bundle_path, processes=processes)
    assert [row.phase for row in rows] == [*START, *PHASES, TOTAL]
    *parts, total = rows
    for number in range(processes):
        assert sum(row.samples_ms[number] for row in parts) == pytest.approx(total.samples_ms[number], abs=0.1)
    for row in rows:
        assert len(row.samples_ms) == processes
        assert 0 < row.min_ms <= row.median_ms == pytest.approx(statistics.median(row.samples_ms), abs=1e-3)
        assert row.max_ms == max(row.samples_ms)


@pytest.mark.slow
def test_memory_is_measured_after_each_phase_above_that_of_numpy_and_mnn(bundle_path: Path) -> None:
    rows = measure_memory(bundle_path, processes=1, reranks=40)
    assert [row.phase for row in rows] == [BASE, *PHASES, HALF, STEADY, PEAK]
    by_phase = {row.phase: row for row in rows}
    assert by_phase[BASE].above_base_bytes == 0
    assert 0 < by_phase["import edgerec"].above_base_bytes <= by_phase["first order"].above_base_bytes
    assert by_phase[PEAK].resident_bytes == max(row.resident_bytes for row in rows)
    half, steady = by_phase[HALF].resident_bytes, by_phase[STEADY].resident_bytes
    assert by_phase[STEADY].growth_bytes == pytest.approx((steady - half) / 20, abs=0.1)
    assert all(row.growth_bytes is None for row in rows if row.phase != STEADY)


@pytest.mark.slow
def test_a_process_that_reports_an_error_or_ends_early_is_an_error(bundle_path: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_path, bundle)
    with fresh_process.fresh_process(bundle) as fresh:
        (bundle / "device" / "crban.mnn").write_bytes(b"changed")
        with pytest.raises(SessionError, match="has 7 bytes instead of"), fresh.start("time") as started:
            list(started.phases())
        with pytest.raises(SessionError, match="ended with exit code -9"), fresh.start("wait") as started:
            _kill(started)
    with pytest.raises(IntegrityError, match="has 7 bytes instead of"):
        measure_cold(bundle, processes=1)


def _kill(started: fresh_process.Started) -> None:
    """Kill a process that waits after its first phase."""
    for _ in started.phases():
        started.process.kill()
