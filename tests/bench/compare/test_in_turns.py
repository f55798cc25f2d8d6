"""The command on bundles and on files. A small script takes the place of `edgerec` where only the turns matter."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgerec.bench.compare.in_turns import Side, command_of, measure_in_turns
from edgerec.bench.document import BenchDocument, read_bench_document
from edgerec.core.errors import InputError, ResourceError
from tests.bench.compare.test_verdict import document as bench_document
from tests.bench.compare.test_verdict import row
from tests.command_line import document, edgerec_here, error_line

MEASURES = """
import json, sys, time
from edgerec.bench.turns import wait_for_turn
slow, (stage, bundle, _, rounds) = float(sys.argv[1]), sys.argv[3:7]
samples = []
for number in range(int(rounds)):
    wait_for_turn()
    samples.append([slow * (10 + number)] * 3)
one = {"min_us": 1, "mean_us": 1, "p50_us": 1, "p90_us": 1, "p99_us": 1, "p999_us": 1, "per_second": 1, "spread": 0}
row = {"name": "mnn", "stage": stage, "n": 3 * len(samples), **one, "processes": [len(samples)], "samples_us": samples}
machine = {"environment": {}, "settings": {"rounds": len(samples)}}
print(json.dumps({"kind": "bench", "schema": 1, "what": stage, "bundle": bundle, **machine, "results": [row]}))
"""


def side(name: str, script: str, *arguments: str) -> Side:
    return Side(name, Path(f"bundle-{name}"), (sys.executable, "-c", script, *arguments))


def test_each_run_adds_a_process_to_both_documents() -> None:
    a, b = measure_in_turns([side("A", MEASURES, "1"), side("B", MEASURES, "2")], stage="step", runs=2, rounds=3)
    assert (a.bundle, b.bundle) == ("bundle-A", "bundle-B")
    assert a.settings.turns == b.settings.turns is not None
    assert (a.settings.rounds, a.settings.processes) == (6, 2)
    assert a.results[0].processes == b.results[0].processes == [3, 3]
    assert a.results[0].samples_us == [[value] * 3 for value in (10.0, 11.0, 12.0) * 2]
    assert b.results[0].p50_us == 22.0


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("import sys; sys.exit('edgerec: bundle: it is damaged')", ResourceError, "B .* bundle: it is damaged"),
        ("import os; os.kill(os.getpid(), 9)", ResourceError, "it ended without a message"),
        ("print({})", InputError, "an installation does not take turns"),
        ("from edgerec.bench.turns import wait_for_turn; wait_for_turn(); print(1)", InputError, "gave no document"),
    ],
)
def test_a_process_that_fails_is_one_error(script: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure_in_turns([side("A", MEASURES, "1"), side("B", script)], stage="step", runs=1, rounds=2)


def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path) -> None:
    sides = [side("A", MEASURES, "1"), Side("B", tmp_path, command_of(tmp_path / "python"))]
    with pytest.raises(InputError, match=r"the Python of B cannot be started .*/python: No such file"):
        measure_in_turns(sides, stage="step", runs=1)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, factor, seed in zip(paths, (1.0, 1.3), (1, 2), strict=True):
        path.write_text(json.dumps(bench_document([row("mnn", factor, seed=seed)]).to_json()))
    return paths


def test_files_are_compared_and_a_slowdown_can_fail(files: list[Path], tmp_path: Path) -> None:
    found = document(edgerec_here("bench", "compare", *files, "--json", "--out", tmp_path / "c.json"))
    assert found["verdict"] == found["rows"][0]["verdict"] == "slower"
    assert found["failed"] == []
    assert json.loads((tmp_path / "c.json").read_text()) == found
    failed = edgerec_here("bench", "compare", *files, "--fail-above", "10%")
    assert failed.returncode == 1
    assert "Verdict: slower" in failed.stdout
    assert failed.stderr.endswith("slower than --fail-above allows: hubsm_ie by mnn\n")
    assert edgerec_here("bench", "compare", *files, "--fail-above", "0.5").returncode == 0


def test_wrong_arguments_are_one_line(files: list[Path], tmp_path: Path) -> None:
    assert "two files or two bundles" in error_line(edgerec_here("bench", "compare", files[0], tmp_path))
    assert "--runs is for two bundles" in error_line(edgerec_here("bench", "compare", *files, "--runs", "12"))
    assert "--out-b is for two bundles" in error_line(
        edgerec_here("bench", "compare", *files, "--out-b", tmp_path / "b")
    )
    one = ("--out", tmp_path / "one.json", "--out-b", tmp_path / "one.json")
    assert "--out-a and --out-b should name different files" in error_line(
        edgerec_here("bench", "compare", *files, *one)
    )
    usage = edgerec_here("bench", "compare", *files, "--fail-above", "much")
    assert usage.returncode == 2
    assert "a slowdown such as 10% or 0.1; received 'much'" in usage.stderr


@pytest.mark.slow
def test_a_bundle_is_compared_with_itself(bundle_path: Path, tmp_path: Path) -> None:
    outputs: dict[str, Any] = {"--out-a": tmp_path / "a.json", "--out-b": tmp_path / "b.json"}
    arguments = [bundle_path, bundle_path, "--stage", "rerank", "--runs", "10", "--rounds", "3", "--json"]
    options = [each for pair in outputs.items() for each in pair]
    found = document(edgerec_here("bench", "compare", *arguments, *options))
    assert [each["row"] for each in found["rows"]] == ["rerank by mnn", "rerank by edgerec"]
    assert all(each["paired"] for each in found["rows"])
    again = document(edgerec_here("bench", "compare", *outputs.values(), "--json"))
    assert again == found
    written = [read_bench_document(path) for path in outputs.values()]
    assert all(isinstance(each, BenchDocument) and each.settings.processes == 10 for each in written)
