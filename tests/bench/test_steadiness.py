from __future__ import annotations

import pytest

from edgerec.bench.steadiness import reasons, spread


def test_a_steady_row_has_no_reasons() -> None:
    assert reasons([[1.0, 1.01, 1.0]] * 12, [1.0] * 12) == []
    assert reasons([[5.0]]) == []


def test_medians_of_rounds_that_differ_much_are_a_reason() -> None:
    rounds = [[1.0]] * 50 + [[2.0]] * 8
    assert reasons(rounds)[0] == "medians of rounds differ by a factor of 2.0"
    assert not any("factor" in reason for reason in reasons([[1.0]] * 10))


def test_quartiles_that_are_far_apart_are_a_reason() -> None:
    rounds = [[1.0], [1.2]] * 5
    assert spread([1.0, 1.2] * 5) == pytest.approx(0.2 / 1.1)
    assert reasons(rounds) == ["quartiles of the medians of rounds are 18% apart"]


def test_a_trend_is_a_reason_and_a_random_order_is_none() -> None:
    slower = [[1.0 + 0.008 * number] for number in range(12)]
    assert reasons(slower) == ["the last third of the rounds is 6% slower"]
    assert reasons(slower[::-1]) == ["the last third of the rounds is 6% faster"]
    assert reasons([slower[number] for number in (5, 0, 9, 3, 11, 2, 7, 10, 1, 8, 4, 6)]) == []
    # So few rounds prove no trend.
    assert reasons(slower[:8]) == []


def test_waiting_for_the_processor_is_a_reason() -> None:
    assert reasons([[3.0]] * 5, [2.0] * 5) == ["a call takes 1.5 times its processor time, so the process was waiting"]
    # Several threads use more processor time than a call takes.
    assert reasons([[3.0]] * 5, [6.0] * 5) == []
    # The clock of the system may be too coarse for a short round.
    assert reasons([[3.0]] * 5, [0.0] * 5) == []
