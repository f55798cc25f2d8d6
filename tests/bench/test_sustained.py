from __future__ import annotations

import time

from edgerec.bench.document import Interval
from edgerec.bench.measure import Call
from edgerec.bench.sustained import run_sustained, slowed


def test_a_call_is_repeated_in_intervals() -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    found = run_sustained(call, stage="rerank", name="mnn", seconds=0.25)
    assert sum(one.n for one in found) == calls
    assert found[0].second < 0.1
    assert [one.second for one in found] == sorted(one.second for one in found)
    assert all(0 <= one.p50_us <= one.p99_us for one in found)


def test_every_interval_has_a_call_and_work_around_a_call_is_done() -> None:
    order: list[str] = []
    call = Call(lambda: time.sleep(0.15), lambda: order.append("before"), lambda: order.append("after"))
    found = run_sustained(call, stage="rerank", name="mnn", seconds=0.2)
    assert [one.n for one in found] == [1, 1]
    assert order == ["before", "after"] * 2


def test_a_machine_that_becomes_slower_is_noticed() -> None:
    def intervals(*p50: float) -> list[Interval]:
        return [
            Interval(stage="rerank", name="mnn", second=number, n=1, p50_us=one, p99_us=one)
            for number, one in enumerate(p50)
        ]

    assert slowed(intervals(10, 10, 15, 15, 15, 15, 20, 20)) == 2.0
    assert slowed(intervals(10, 10, 30, 30, 30, 30, 10.5, 10.5)) is None
    assert slowed([]) is None
