"""The kernel's counters are files, so a test writes such files. Most machines that run tests have no such counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.bench.energy import EnergyCounters


def zone(folder: Path, name: str, energy: int, most: int = 10**6) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "energy_uj").write_text(f"{energy}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{most}\n")
    return folder / name / "energy_uj"


def test_the_energy_of_a_call_is_that_of_all_packages(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", 100), zone(tmp_path, "intel-rapl:1", 500)
    zone(tmp_path, "intel-rapl:0:0", 7)  # a part of the first package
    counters = EnergyCounters(tmp_path)
    assert counters.readable

    def call() -> None:
        first.write_text(str(int(first.read_text()) + 30))
        second.write_text(str(int(second.read_text()) + 10))

    assert counters.microjoules(call, seconds=0.001) == pytest.approx(40)


def test_a_counter_that_starts_again_is_continued(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", 990, most=1000)
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        counter.write_text("20")

    assert EnergyCounters(tmp_path).microjoules(call, seconds=0.001) == pytest.approx(30 / calls)


def test_a_counter_that_starts_again_after_an_unknown_range_is_not_read(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", 990)
    zone(tmp_path, "intel-rapl:1", 5)
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").unlink()
    assert EnergyCounters(tmp_path).microjoules(lambda: counter.write_text("20"), seconds=0.001) is None


def test_without_counters_there_is_no_energy(tmp_path: Path) -> None:
    assert not EnergyCounters(tmp_path).readable
    assert not EnergyCounters(tmp_path / "missing").readable
    zone(tmp_path, "intel-rapl:0", 1)
    counters = EnergyCounters(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("no number")
    assert counters.microjoules(lambda: None, seconds=0.001) is None
