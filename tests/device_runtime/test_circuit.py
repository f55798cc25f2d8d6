from __future__ import annotations

from edgerec.core.errors import AnswerError, BusyError, RefusedError, StoreError, TransportError
from edgerec.device_runtime.backoff import LONGEST_ASKED_MS, Backoff
from edgerec.device_runtime.circuit import Circuit


def test_waiting_times_double_and_are_random() -> None:
    for draw, share in ((0.0, 1.0), (0.999, 0.5)):
        backoff, now = Backoff(1000, 8000, lambda draw=draw: draw), 0
        for wait in (1000, 2000, 4000, 8000, 8000):
            backoff.failed(now)
            assert abs(backoff.due(now) - now - share * wait) <= 8
            now = backoff.due(now)
    backoff.succeeded()
    assert backoff.ready(now)


def test_a_dead_cloud_gets_one_probe_and_not_one_for_each_kind() -> None:
    circuit = Circuit(1000, 300_000)
    kinds, requests, now = [circuit.kind() for _ in range(3)], 0, 0
    while now < 3_600_000:
        for kind in kinds:
            if kind.ready(now):
                requests += 1
                kind.failed(now, TransportError("dead"))
        now += 100
    assert 18 <= requests <= 32  # 1, 2, 4, ... 256, 300, 300 seconds, each times 0.5 to 1
    kinds[1].succeeded()
    assert all(kind.ready(now) for kind in kinds)


def test_an_answer_closes_the_circuit_and_only_its_kind_waits() -> None:
    pages, logs = (circuit := Circuit(1000, 300_000)).kind(), circuit.kind()
    for error in (AnswerError("401"), RefusedError("422"), StoreError("full")):
        logs.failed(0, error)
        assert pages.ready(0)
        assert not logs.ready(0)
        logs.succeeded()


def test_retry_after_is_honoured_and_bounded() -> None:
    for asked, least, most in (
        (None, 500, 1000),
        (30.0, 30_000, 31_000),
        (1e9, LONGEST_ASKED_MS, LONGEST_ASKED_MS + 1000),
    ):
        pages, logs = (circuit := Circuit(1000, 300_000)).kind(), circuit.kind()
        logs.failed(0, BusyError("busy", asked))
        assert least <= logs.due(0) <= most
        assert pages.ready(0)
        logs.hurry()
        assert logs.due(0) >= 1000 * min(asked or 0, 3600)


def test_the_user_may_hurry_a_request_once_in_each_first_waiting_time() -> None:
    kind, requests = Circuit(1000, 300_000).kind(), 0
    for now in range(0, 60_000, 10):  # a user who pulls the list down a hundred times a second
        kind.hurry()
        if kind.ready(now):
            requests += 1
            kind.failed(now, TransportError("dead"))
    assert requests <= 121
