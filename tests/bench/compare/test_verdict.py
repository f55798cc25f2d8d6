"""Verdicts on documents with known differences and known noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerec.bench.compare.verdict import compare
from edgerec.bench.document import BenchDocument, Row, Settings
from edgerec.bench.values import Environment
from edgerec.core.errors import InputError
from tests.reports.bench_documents import bench_row

ENVIRONMENT = {"processor": "Test processor", "machine": "x86_64", "system": "Linux", "python": "3.11"}


def document(rows: list[Row], *, turns: str | None = None, **environment: str) -> BenchDocument:
    settings = Settings(rounds=sum(rows[0].processes), processes=len(rows[0].processes), turns=turns)
    machine = Environment.model_validate({**ENVIRONMENT, **environment})
    return BenchDocument(what="step", environment=machine, settings=settings, results=rows)


def row(name: str, factors: Any, *, seed: int, processes: int = 15) -> Row:
    """Return a row of calls of 10 us. `factors` (processes, rounds) slow down rounds."""
    noise = np.random.default_rng(seed).lognormal(0, 0.02, (processes, 4, 9))
    return bench_row("hubsm_ie", name, (10 * noise * np.broadcast_to(factors, (processes, 4))[..., None]).tolist())


def verdicts(found: dict[str, Any]) -> list[str]:
    return [each["verdict"] for each in found["rows"]]


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.0, "same"), (1.01, "same"), (1.1, "slower"), (1.3, "slower"), (0.9, "faster")]
)
@pytest.mark.parametrize("turns", [None, "together"])
def test_a_difference_needs_a_test_and_an_effect(factor: float, expected: str, turns: str | None) -> None:
    a, b = (document([row("mnn", f, seed=s)], turns=turns) for f, s in ((1.0, 1), (factor, 2)))
    found = compare(a, b)
    assert (found["verdict"], verdicts(found)) == (expected, [expected])
    [only] = found["rows"]
    assert only["paired"] is (turns is not None)
    assert only["ratio"] == pytest.approx(factor, rel=0.01)
    assert only["ci95"][0] <= only["ratio"] <= only["ci95"][1]
    assert (only["a_processes"], only["row"]) == (15, "hubsm_ie by mnn")


def test_a_significant_difference_of_one_percent_is_no_difference() -> None:
    found = compare(*(document([row("mnn", f, seed=s)], turns="t") for f, s in ((1.0, 1), (1.015, 2))))
    assert found["rows"][0]["p"] < 0.001
    assert found["verdict"] == "same"


def test_turns_find_a_difference_that_the_machine_hides() -> None:
    """Each round is up to 2 times as slow as another one, for both builds alike."""
    machine = np.random.default_rng(5).uniform(1, 2, (15, 4))
    apart, together = (
        compare(*(document([row("mnn", f * machine, seed=s)], turns=turns) for f, s in ((1.0, 1), (1.1, 2))))
        for turns in (None, "t")
    )
    assert (apart["verdict"], together["verdict"]) == ("same", "slower")
    assert any("too noisy for hubsm_ie by mnn" in note for note in apart["notes"])
    assert together["notes"] == []


def test_the_worst_row_decides_and_more_rows_need_more_evidence() -> None:
    names = [f"peer{number}" for number in range(9)]
    a = document([row(name, 1.0, seed=index) for index, name in enumerate([*names, "fast", "slow"])], turns="t")
    factors = {"fast": 0.8, "slow": 1.2}
    b = document(
        [row(name, factors.get(name, 1.0), seed=50 + index) for index, name in enumerate([*names, "fast", "slow"])],
        turns="t",
    )
    found = compare(a, b)
    assert (found["verdict"], verdicts(found)) == ("slower", [*["same"] * 9, "faster", "slower"])
    assert all(each["p_adjusted"] >= each["p"] for each in found["rows"])
    assert found["rows"][-1]["p_adjusted"] == pytest.approx(11 * found["rows"][-1]["p"])


def test_a_slowdown_fails_if_its_whole_interval_is_above_the_limit() -> None:
    a, b = (document([row("mnn", f, seed=s)], turns="t") for f, s in ((1.0, 1), (1.2, 2)))
    assert compare(a, b, fail_above=0.1)["failed"] == ["hubsm_ie by mnn"]
    assert compare(a, b, fail_above=0.2)["failed"] == []
    assert compare(b, a, fail_above=0.1)["failed"] == []
    assert compare(a, b)["failed"] == []


def test_rows_of_one_document_are_listed_and_not_judged() -> None:
    a = document([row("mnn", 1.0, seed=1), row("numpy", 1.0, seed=2)])
    b = document([row("mnn", 1.0, seed=3), row("edgerec", 1.0, seed=4)])
    found = compare(a, b)
    assert [each["name"] for each in found["rows"]] == ["mnn"]
    assert (found["only_in_a"], found["only_in_b"]) == (["hubsm_ie by numpy"], ["hubsm_ie by edgerec"])
    with pytest.raises(InputError, match="no row in common: A has hubsm_ie by mnn; B has hubsm_ie by numpy"):
        compare(document([row("mnn", 1, seed=1)]), document([row("numpy", 1, seed=1)]))


@pytest.mark.parametrize("processes", [1, 3])
def test_too_few_processes_cannot_be_judged(processes: int) -> None:
    few = document([row("mnn", 1.0, seed=1, processes=processes)])
    with pytest.raises(InputError, match=f"at least 5 processes; received {processes} and {processes}: measure again"):
        compare(few, few)
    many = document([row("mnn", 1.0, seed=1), row("numpy", 1.0, seed=2, processes=processes)])
    assert compare(many, many)["too_few_processes"] == ["hubsm_ie by numpy"]


def test_another_machine_is_noted() -> None:
    a, b = document([row("mnn", 1.0, seed=1)]), document([row("mnn", 1.0, seed=2)], processor="Other")
    notes = compare(a, b)["notes"]
    assert "different machines (processor)" in notes[0]
    assert "one after the other" in notes[1]


def test_all_other_conditions_that_differ_are_noted() -> None:
    a, b = (document([row("mnn", 1.0, seed=seed)], turns="t") for seed in (1, 2))
    a.model, a.precision, a.sizes = "crban", "fp32", {"candidates": 100}
    b.model, b.precision, b.sizes = "crban_plus", "int8", {"candidates": 50}
    a.environment.versions, b.environment.versions = {"MNN": "3.5.0"}, {"MNN": "3.6.1"}
    b.settings.cpus = [0, 2]
    b.results[0].unstable = True
    assert compare(a, b)["notes"] == [
        "A and B differ in the model: crban and crban_plus",
        "A and B differ in the precision: fp32 and int8",
        "A and B differ in the maximum number of candidates: 100 and 50",
        "A and B differ in the version of MNN: 3.5.0 and 3.6.1",
        "A and B differ in --cpu: any and 0,2",
        "the machine was unsteady for hubsm_ie by mnn: do not trust their durations, only the ratios",
    ]


def test_other_numbers_of_threads_are_an_error() -> None:
    a, b = (document([row("mnn", 1.0, seed=seed)]) for seed in (1, 2))
    b.settings.threads = 4
    with pytest.raises(InputError, match="the same number of threads; received 1 and 4: measure again"):
        compare(a, b)
