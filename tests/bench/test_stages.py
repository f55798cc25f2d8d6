"""What each stage measures, in the process of the test."""

from __future__ import annotations

import io
import shutil
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgerec.bench.environment import environment
from edgerec.bench.measure import time_calls
from edgerec.bench.plan import Plan
from edgerec.bench.process import measure_bundle
from edgerec.bench.run import document_of
from edgerec.bench.stages.profile import Command, profile_of, time_commands
from edgerec.bundle.load import load_device_model
from edgerec.bundle.model_checks import sessions_of
from edgerec.cli.tables.bench import bench_table
from edgerec.core.errors import InputError
from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.device_runtime.serving import ModelServing
from tests.bench.in_this_process import bench_here, repeat_little


def test_a_step_costs_the_same_after_any_sequence_and_a_full_run_is_compared_with_it(bundle_path: Path) -> None:
    document = bench_here("step", bundle_path, rounds=3, sweep=True)
    rows = [row for row in document["results"] if row["stage"] == "sequence"]
    lengths = {row["parameters"]["length"] for row in rows}
    limit = document["sizes"]["exposures"]
    assert {1, limit} <= lengths
    assert max(lengths) == limit
    for length in lengths:
        assert {row["name"] for row in rows if row["parameters"] == {"length": length}} == {"step", "full"}
    of_limit = [ratio for ratio in document["ratios"] if ratio["parameters"] == {"length": limit}]
    assert [(ratio["stage"], ratio["peer"]) for ratio in of_limit] == [("sequence", "full")]
    # The smallest durations do not depend on other programs. A full run makes `limit` steps.
    least = {row["name"]: row["min_us"] for row in rows if row["parameters"] == {"length": limit}}
    assert least["full"] > 3 * least["step"]


def test_candidates_and_threads_are_swept(bundle_path: Path) -> None:
    document = bench_here("rerank", bundle_path, rounds=1, sweep=True)
    found = [(row["name"], *row["parameters"].items()) for row in document["results"]]
    limit = document["sizes"]["candidates"]
    for name in ("mnn", "edgerec"):
        assert {(name,), (name, ("candidates", 10)), (name, ("candidates", limit))} <= set(found)
    assert ("mnn", ("threads", 1)) in found
    assert document["ratios"] == []


def test_a_behaviour_and_a_response_are_measured_through_the_client(bundle_path: Path) -> None:
    behaviour = bench_here("behaviour", bundle_path, rounds=2)
    assert [row["stage"] for row in behaviour["results"]] == ["behaviour", "behaviour_durable"]
    assert behaviour["results"][1]["min_us"] < behaviour["results"][0]["p50_us"]
    response = bench_here("response", bundle_path, rounds=2, sustained=0.2)
    assert [(row["stage"], row["name"]) for row in response["results"]] == [("response", "edgerec")]
    assert {(one["stage"], one["name"]) for one in response["sustained"]} == {("response", "edgerec")}
    assert [target["what"] for target in response["targets"]] == ["trigger to new order, p99"]
    assert [row["what"] for row in response["table3"]] == ["response"]


def test_the_sizes_are_those_of_the_files(bundle_path: Path) -> None:
    rows = {(row["half"], row["part"]): row for row in bench_here("size", bundle_path)["size"]}
    for half in ("device", "cloud"):
        total = rows[half, "total"]
        parts = [row["bytes"] for row in rows.values() if row["half"] == half and row["part"] != "total"]
        assert total["bytes"] == sum(parts)
        files = [path for path in (bundle_path / half).rglob("*") if path.is_file()]
        assert total["bytes"] == sum(path.stat().st_size for path in files)
        assert total["paper_bytes"] > 10**6
    assert rows["device", "crban"]["bytes"] == (bundle_path / "device" / "crban.mnn").stat().st_size


def test_the_operations_are_the_commands_of_each_model(bundle_path: Path) -> None:
    model = load_device_model(bundle_path)
    found = profile_of(model, runs=5)
    for name, session in sessions_of(model).items():
        operations = [one for one in found if one.stage == name]
        assert Counter({one.type: one.commands for one in operations}) == Counter(
            type for type, _ in session.commands()
        )
        assert all((one.mean_us is None) == (one.share is None) for one in operations)
        assert sum(one.share or 0.0 for one in operations) <= 1.01


def test_the_commands_of_a_model_take_as_long_as_a_plain_run(bundle_path: Path) -> None:
    for session in sessions_of(load_device_model(bundle_path)).values():
        found = time_commands(session, runs=20)
        plain = statistics.median(time_calls(session.execute, 200)[0])
        # Wide bounds, for a busy machine: a wrong unit or a command that counts twice over all runs is far outside.
        assert 0.2 < sum(one.us for one in found) / plain < 5.0
        assert all(one.us >= 0 for one in found)


def test_a_type_that_is_shorter_than_its_overhead_has_only_a_count(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [
        Command("GRU", 4.0, 1.0),
        Command("Raster", 0.7, 1.0),
        Command("GRU", 2.0, 1.0),
        Command("Raster", 0.6, 1.0),
    ]
    monkeypatch.setattr("edgerec.bench.stages.profile.time_commands", lambda *_, **__: commands)
    found = profile_of(load_device_model(bundle_path))[:2]
    assert [(one.type, one.commands, one.mean_us, one.share) for one in found] == [
        ("GRU", 2, 6.0, 0.8219),
        ("Raster", 2, None, None),
    ]


def test_another_bundle_is_measured_in_the_same_turns(bundle_path: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle_path, tmp_path / "other"))
    document = bench_here("rerank", bundle_path, rounds=2, beside=(other,))
    assert [row["name"] for row in document["results"]] == ["mnn", "edgerec", "mnn:other"]
    assert [ratio["peer"] for ratio in document["ratios"]] == ["mnn:other"]
    with pytest.raises(InputError, match="another bundle has this name"):
        bench_here("rerank", bundle_path, rounds=1, beside=(other, other))


def test_several_threads_are_used(bundle_path: Path) -> None:
    document = bench_here("step", bundle_path, rounds=1, threads=2)
    assert document["settings"]["threads"] == 2
    assert document["results"]


def test_everything_is_measured_at_once_and_fits_into_100_columns(
    bundle_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []
    score = ModelServing.score_cards

    def count(serving: ModelServing, candidates: PreparedItems, **more: Any) -> Any:
        scored.append(len(candidates))
        return score(serving, candidates, **more)

    monkeypatch.setattr(ModelServing, "score_cards", count)
    repeat_little(monkeypatch)
    plan = Plan("all", rounds=2, sweep=True)
    measured = measure_bundle(bundle_path, plan, rounds=1), measure_bundle(bundle_path, plan, rounds=1, first=False)
    document = document_of(bundle_path, plan, measured, environment())
    stages = {row.stage for row in document.results}
    assert stages == {"hubsm_ie", "hubsm_ipv", "rerank", "sequence", "behaviour", "behaviour_durable", "response"}
    assert all(row.processes == [1, 1] for row in document.results)
    [response] = [row for row in document.results if row.stage == "response"]
    assert scored[-response.n // 2 :] == [document.sizes["candidates"]] * (response.n // 2)
    assert document.operations
    assert document.size
    assert "behaviour and response: " in capsys.readouterr().err
    console = Console(width=200, file=io.StringIO())
    console.print(bench_table(document))
    text = console.file.getvalue()
    for line in text.splitlines():
        assert len(line.rstrip()) <= 100 or line.startswith("!"), line
    for part in ("hubsm_ie", "p50 by length", "p50 by candidates", "operations", "size", "target"):
        assert part in text
