from __future__ import annotations

import gc

import pytest

from edgerec.bench.environment import environment
from edgerec.bench.measure import Durations, ratios, take_turns


def test_implementations_take_turns_and_all_samples_are_kept() -> None:
    calls: list[str] = []
    measured = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, calls=2, warmup=1)
    assert "".join(calls) == "ab" + "aabb" + "bbaa" + "aabb"
    assert [len(samples) for samples in measured["a"].rounds] == [2, 2, 2]
    assert len(measured["b"].warmup) == 1


def test_the_garbage_collector_is_off_only_during_rounds() -> None:
    seen: list[bool] = []
    take_turns({"a": lambda: seen.append(gc.isenabled())}, rounds=2, calls=1, warmup=1)
    assert seen == [True, False, False]
    assert gc.isenabled()


def test_the_garbage_collector_is_on_again_after_an_error() -> None:
    def fail() -> None:
        if not gc.isenabled():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        take_turns({"a": fail}, rounds=1, calls=1, warmup=1)
    assert gc.isenabled()


def test_percentiles_of_a_row_equal_values_computed_by_hand() -> None:
    row = Durations(warmup=[9.0], rounds=[[1.0, 2.0, 3.0], [4.0, 5.0]]).row(name="mnn", stage="hubsm_ie")
    assert row["n"] == 5
    assert (row["p50_us"], row["p90_us"], row["p99_us"], row["min_us"]) == (3.0, 4.6, 4.96, 1.0)
    assert row["samples_us"] == [[1.0, 2.0, 3.0], [4.0, 5.0]]
    assert row["warmup_us"] == [9.0]


def test_ratios_are_computed_for_each_round() -> None:
    ours, peer = Durations([], [[1.0], [2.0], [9.0]]), Durations([], [[2.0], [8.0], [10.0]])
    assert ratios(ours, peer) == {"median": 0.5, "min": 0.25, "max": 0.9}


def test_a_busy_machine_is_reported_as_unstable() -> None:
    assert not Durations([], [[1.0]] * 10).unstable
    assert Durations([], [[1.0]] * 5 + [[2.0]] * 5).unstable


def test_the_environment_names_the_processor_and_the_versions() -> None:
    measured = environment(["onnxruntime", "not-installed"])
    assert measured["cores"] >= 1
    assert measured["processor"]
    assert measured["versions"]["MNN"]
    assert measured["versions"]["onnxruntime"]
    assert measured["versions"]["not-installed"] is None
