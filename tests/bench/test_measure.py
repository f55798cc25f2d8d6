from __future__ import annotations

import gc

import pytest

from edgerec.bench.measure import (
    MOST_WINDOWS,
    WINDOWS,
    Call,
    Durations,
    calls_in_round,
    ratios,
    take_turns,
    time_calls,
    warm_up,
)
from edgerec.bench.rows import row_of


def test_implementations_take_turns_and_all_samples_are_kept() -> None:
    calls: list[str] = []
    measured = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, calls=2, warmup=1)
    assert "".join(calls) == "ab" + "aabb" + "bbaa" + "aabb"
    assert [len(samples) for samples in measured["a"].rounds] == [2, 2, 2]
    assert len(measured["b"].warmup) == 1
    assert len(measured["a"].cpu) == 3


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


def test_warming_up_ends_when_the_durations_are_stable_or_after_some_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock advances by as many microseconds as the next number says."""
    durations: list[int] = []
    now = 0

    def call() -> None:
        nonlocal now
        now += durations.pop(0) * 1000

    monkeypatch.setattr("time.perf_counter_ns", lambda: now)
    durations[:] = [90, 60, 30, 30, 30, 30]
    assert warm_up(call, 1) == ([90, 60, 30, 30, 30], True)
    durations[:] = [2**number for number in range(100)]
    found, warm = warm_up(call, 1)
    assert len(found) == MOST_WINDOWS > WINDOWS
    assert not warm
    # Windows of slow calls are shorter. The first window has five calls.
    durations[:] = [30] * 100
    assert len(warm_up(call, 20)[0]) == 5 + 2 * 20
    durations[:] = [30_000] * 100
    assert len(warm_up(call, 20)[0]) == 3 * 5


def test_slow_implementations_are_called_less_often() -> None:
    assert calls_in_round([10.0, 12.0, 900.0], 200) == 200
    assert calls_in_round([1000.0], 200) == 50
    assert calls_in_round([20_000.0], 20) == 5
    assert calls_in_round([20_000.0], 2) == 2


def test_work_around_a_call_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0

    def passes(microseconds: int) -> None:
        nonlocal now
        now += microseconds * 1000

    monkeypatch.setattr("time.perf_counter_ns", lambda: now)
    monkeypatch.setattr("time.process_time_ns", lambda: now)
    call = Call(lambda: passes(5), before=lambda: passes(100), after=lambda: passes(1000))
    assert time_calls(call, 3) == ([5, 5, 5], 5)


def test_percentiles_of_a_row_equal_values_computed_by_hand() -> None:
    one = Durations(warmup=[9.0], rounds=[[1.0, 2.0, 3.0]], cpu=[2.0])
    two = Durations(warmup=[8.0, 7.0], rounds=[[4.0, 5.0]], cpu=[4.0])
    row = row_of([one, two], name="mnn", stage="hubsm_ie", parameters={"length": 3})
    assert (row.n, row.mean_us, row.per_second, row.cpu_us) == (5, 3.0, 333333.3, 3.0)
    assert (row.p50_us, row.p90_us, row.p99_us, row.p999_us, row.min_us) == (3.0, 4.6, 4.96, 4.996, 1.0)
    assert row.samples_us == [[1.0, 2.0, 3.0], [4.0, 5.0]]
    assert row.warmup_us == [[9.0], [8.0, 7.0]]
    assert row.processes == [1, 1]
    assert row.parameters == {"length": 3}
    # The medians of the rounds are 2 and 4.5, so their quartiles are 2.625 and 3.875.
    assert row.spread == pytest.approx(1.25 / 3.25, abs=1e-4)


def test_a_warm_up_that_did_not_become_stable_is_a_reason() -> None:
    warm, cold = Durations([], [[1.0]]), Durations([], [[1.0]], warm=False)
    assert not row_of([warm], name="mnn", stage="rerank").unstable
    assert row_of([warm, cold], name="mnn", stage="rerank").reasons == [
        "the durations had not become stable when the first round began"
    ]


def test_ratios_are_computed_for_each_round() -> None:
    ours, peer = Durations([], [[1.0], [2.0], [9.0]]), Durations([], [[2.0], [8.0], [10.0]])
    assert ratios(ours, peer) == {"median": 0.5, "min": 0.25, "max": 0.9}
