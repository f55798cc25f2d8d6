"""The search for the setting with a wanted share, on responses that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from edgerec.simulation.mix_test.share_search import Goal, ShareSearch

TARGET = Goal(0.1, 0.1, 0.0, 1.0, slope=10.0)
PRICE = Goal(0.1, 0.1, -10.0, 10.0, slope=-6.0)


def searched(
    goals: dict[str, Goal],
    start: dict[str, float],
    share: Callable[[dict[str, float]], dict[str, float]],
    runs: int = 6,
) -> ShareSearch:
    found = ShareSearch(goals, start)
    while not found.ended and len(found.runs) < runs:
        settings = found.next()
        found.add(settings, share(settings))
    return found


@pytest.mark.parametrize(
    ("goal", "start", "share", "runs"),
    [
        (TARGET, 0.1, lambda x: 0.7 * x, 3),
        (TARGET, 0.1, lambda x: 0.18 * math.tanh(8 * x), 4),
        (PRICE, 0.0, lambda x: 0.3 / (1 + math.exp(8 * (x - 0.05))), 5),
        (PRICE, 1.0, lambda x: 0.3 / (1 + math.exp(8 * (x - 0.05))), 6),
        (PRICE, 0.11, lambda x: round(0.3 / (1 + math.exp(8 * (x - 0.05))), 3), 4),
    ],
)
def test_few_runs_find_the_setting(goal: Goal, start: float, share: Callable[[float], float], runs: int) -> None:
    found = searched({"ad": goal}, {"ad": start}, lambda settings: {"ad": share(settings["ad"])})

    assert found.ended
    assert len(found.runs) <= runs
    assert share(found.best()["ad"]) == pytest.approx(0.1, abs=0.002)


def test_two_kinds_that_take_places_from_each_other_are_found_together() -> None:
    def share(settings: dict[str, float]) -> dict[str, float]:
        ad, video = math.exp(-6 * settings["ad"] - 1.5), math.exp(-6 * settings["video"] - 1.6)
        return {"ad": ad / (1 + ad + video), "video": video / (1 + ad + video)}

    goals = {"ad": PRICE, "video": Goal(0.15, 0.4, -10.0, 10.0, slope=-6.0)}
    found = searched(goals, {"ad": 0.0, "video": 0.1}, share, runs=8)
    shares = share(found.best())

    assert found.ended
    assert shares["ad"] == pytest.approx(0.1, abs=0.0021)
    assert shares["video"] >= 0.148


def test_a_kind_inside_its_band_keeps_its_setting() -> None:
    found = ShareSearch({"video": Goal(0.1, 0.4, -1, 1, slope=-6.0)}, {"video": 0.0})
    found.add(found.next(), {"video": 0.2})

    assert found.ended
    assert found.next() == {"video": 0.0}


def test_a_share_that_cannot_be_reached_ends_at_the_bound() -> None:
    found = searched({"ad": TARGET}, {"ad": 0.1}, lambda settings: {"ad": 0.05 * settings["ad"]}, runs=4)

    assert not found.ended
    assert found.best() == {"ad": 1.0}


def test_a_jump_over_the_goal_stays_between_both_sides() -> None:
    found = searched({"ad": TARGET}, {"ad": 0.1}, lambda s: {"ad": 0.08 if s["ad"] < 0.137 else 0.12}, runs=8)
    settings = [each["ad"] for each, _ in found.runs]

    assert not found.ended
    assert min(abs(each - 0.137) for each in settings) < 0.02
