from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerec.bench.document import BenchDocument, Memory, Phase, Ratio, Row, Settings, Size
from edgerec.bench.measure import Durations
from edgerec.bench.rows import row_of
from edgerec.bench.targets import COLD_S, DEVICE_MB, DURATIONS, MEMORY_MB, RATIOS, judge
from edgerec.bench.values import Environment
from edgerec.bench.warnings import machine_warnings


def row(stage: str, name: str, us: float, *, unstable: bool = False) -> Row:
    found = row_of([Durations([], [[us]])], name=name, stage=stage)
    return found.model_copy(update={"unstable": unstable})


def document(*, threads: int = 1, emulated: bool = False, **parts: Any) -> BenchDocument:
    settings, machine = Settings(rounds=1, threads=threads), Environment(emulated=emulated)
    return BenchDocument(schema=1, what="all", environment=machine, settings=settings, **parts)


@pytest.mark.parametrize(
    ("ratio", "unstable", "result"),
    [
        ((0.09, 0.05, 0.3), False, "excellent"),
        ((0.2, 0.05, 0.3), False, "required"),
        ((0.26, 0.05, 0.3), False, "missed"),
        ((0.2, 0.05, 0.3), True, "unknown"),
        ((0.2, 0.15, 0.24), True, "required"),
        ((0.3, 0.26, 0.5), True, "missed"),
    ],
)
def test_a_ratio_of_an_unsteady_row_is_judged_if_all_rounds_agree(
    ratio: tuple[float, float, float], unstable: bool, result: str
) -> None:
    median, least, most = ratio
    found = judge(
        document(
            results=[row("hubsm_ie", "mnn", 2.0, unstable=unstable), row("hubsm_ie", "onnxruntime", 10.0)],
            ratios=[Ratio(stage="hubsm_ie", peer="onnxruntime", median=median, min=least, max=most)],
        )
    )
    assert [(target.unit, target.measured, target.result) for target in found] == [("ratio", median, result)]


@pytest.mark.parametrize(
    ("us", "unstable", "result"),
    [
        (2_000, False, "excellent"),
        (9_000, True, "required"),
        (11_000, False, "missed"),
        (11_000, True, "unknown"),
    ],
)
def test_a_duration_of_an_unsteady_row_cannot_miss_a_target(us: float, unstable: bool, result: str) -> None:
    [target] = judge(document(results=[row("response", "edgerec", us, unstable=unstable)]))
    assert (target.measured, target.result) == (us / 1000, result)


def test_sizes_cold_start_and_memory_are_judged() -> None:
    found = judge(
        document(
            size=[Size(half="device", part="total", bytes=600_000), Size(half="cloud", part="total", bytes=1)],
            cold=[Phase(phase="total", median_ms=300, min_ms=1, max_ms=900, samples_ms=[300])],
            memory=[Memory(phase="steady", resident_bytes=9, above_base_bytes=31_000_000, samples_bytes=[9])],
        )
    )
    assert [(target.measured, target.unit, target.result) for target in found] == [
        (0.3, "s", "excellent"),
        (0.6, "MB", "required"),
        (31.0, "MB", "missed"),
    ]
    assert judge(document()) == []


@pytest.mark.parametrize(("samples", "result"), [([1500, 1500, 1510], "missed"), ([1100, 1500, 3000], "unknown")])
def test_a_cold_start_on_an_unsteady_machine_cannot_miss_its_target(samples: list[float], result: str) -> None:
    phase = Phase(phase="total", median_ms=1500, min_ms=min(samples), max_ms=max(samples), samples_ms=samples)
    assert [target.result for target in judge(document(cold=[phase]))] == [result]


def test_a_ratio_to_several_threads_is_no_target_and_gives_a_warning() -> None:
    parts: dict[str, Any] = {
        "results": [row("hubsm_ie", "mnn", 2.0), row("hubsm_ie", "onnxruntime", 10.0)],
        "ratios": [Ratio(stage="hubsm_ie", peer="onnxruntime", median=0.2, min=0.2, max=0.2)],
    }
    assert len(judge(document(**parts))) == 1
    assert machine_warnings(document(**parts)) == []
    assert judge(document(threads=2, **parts)) == []
    [warning] = machine_warnings(document(threads=2, **parts))
    assert "ratios to peers are not fair" in warning
    ours = Ratio(stage="sequence", peer="full", median=0.2, min=0.2, max=0.2)
    beside = Ratio(stage="rerank", peer="mnn:int8", median=0.2, min=0.2, max=0.2)
    assert machine_warnings(document(threads=2, ratios=[ours, beside])) == []


def test_on_an_emulated_processor_only_the_size_is_judged() -> None:
    found = judge(
        document(
            emulated=True,
            results=[row("response", "edgerec", 2_000)],
            size=[Size(half="device", part="total", bytes=600_000)],
            memory=[Memory(phase="steady", resident_bytes=9, above_base_bytes=1, samples_bytes=[9])],
        )
    )
    assert [(target.unit, target.result) for target in found] == [
        ("ms", "unknown"),
        ("MB", "required"),
        ("MB", "unknown"),
    ]


def test_the_table_of_the_docs_has_the_numbers_of_the_code() -> None:
    text = (
        (Path(__file__).parents[2] / "docs" / "bench.md").read_text().partition("## Targets")[2].partition("\n## ")[0]
    )
    lines = [line.strip("|").split("|")[-2:] for line in text.splitlines() if line.startswith("|")][2:]
    in_docs = [tuple(float(cell.split()[0]) for cell in cells) for cells in lines]
    assert in_docs == [each[-2:] for each in (*RATIOS, *DURATIONS, DEVICE_MB, COLD_S, MEMORY_MB)]
