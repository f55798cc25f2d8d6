"""The simulated recall behind the RS."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.recall import SESSION_MS, SimulatedRecall
from edgerec.simulation.config import CloudConfig, SimulationConfig

WORLD = LoopWorld(SimulationConfig(users=10, items=200, categories=5, cloud=CloudConfig(page=20, recall=48)), 1)
USER, NOW = 11, WORLD.start_ms + 3_600_000


def events(kind: str, items: list[int], *, time: int = NOW, reason: str = "none") -> pl.DataFrame:
    rows = [{"user_id": USER, "time": time, "kind": kind, "item_id": item, "delete_reason": reason} for item in items]
    return pl.DataFrame(rows)


def test_items_are_different_and_in_the_order_of_their_scores() -> None:
    items, scores = SimulatedRecall(WORLD).candidates(USER, 40, [], NOW)

    assert len(items) == 40
    assert len(set(items.tolist())) == 40
    assert (np.diff(scores) <= 0).all()
    assert ((scores > 0) & (scores < 1)).all()


def test_a_user_gets_the_same_page_in_every_instance() -> None:
    first, second = (SimulatedRecall(WORLD).candidates(USER, 20, [], NOW) for _ in range(2))

    assert first[0].tolist() == second[0].tolist()
    assert first[1].tolist() == second[1].tolist()
    assert SimulatedRecall(WORLD).candidates(USER + 1, 20, [], NOW)[0].tolist() != first[0].tolist()


def test_a_larger_page_draws_the_same_items_first() -> None:
    small, scores = SimulatedRecall(WORLD).candidates(USER, 20, [], NOW)
    large, more = SimulatedRecall(WORLD).candidates(USER, 40, [], NOW)
    score_of = dict(zip(large.tolist(), more.tolist(), strict=True))
    common = [item for item in small.tolist() if item in score_of]

    assert len(common) >= 15
    assert [score_of[item] for item in common] == [
        score for item, score in zip(small.tolist(), scores.tolist(), strict=True) if item in score_of
    ]


def test_later_pages_leave_out_what_was_served_until_the_feed_begins_anew() -> None:
    recall = SimulatedRecall(WORLD)
    first = recall.candidates(USER, 20, [], NOW)[0].tolist()
    second = recall.candidates(USER, 20, first[-5:], NOW + 60_000)[0].tolist()
    anew = recall.candidates(USER, 20, [], NOW + 120_000)[0].tolist()

    assert not set(first) & set(second)
    assert set(anew) & set(first)


def test_deleted_items_never_come_back() -> None:
    recall = SimulatedRecall(WORLD)
    first = recall.candidates(USER, 20, [], NOW)[0].tolist()
    recall.learn(events("exposure", first[:3], reason="not_interested"))

    for number in range(1, 6):
        assert not set(first[:3]) & set(recall.candidates(USER, 60, [], NOW + number)[0].tolist())


def test_page_views_of_the_session_raise_their_category() -> None:
    catalogue = WORLD.catalogue
    viewed = [int(item) for item in catalogue.item_id[catalogue.category == 2][:5]]
    row_of = WORLD.row_of

    def share(recall: SimulatedRecall, time: int) -> float:
        items, scores = recall.candidates(USER, 40, [], time)
        return float(sum(s for i, s in zip(items, scores, strict=True) if catalogue.category[row_of[int(i)]] == 2))

    plain, learnt, late = (SimulatedRecall(WORLD) for _ in range(3))
    learnt.learn(events("page_view", viewed))
    late.learn(events("page_view", viewed, time=NOW - SESSION_MS - 1))

    assert share(learnt, NOW + 1) > share(plain, NOW + 1)
    assert share(late, NOW + 1) == pytest.approx(share(SimulatedRecall(WORLD), NOW + 1))


def test_fewer_items_than_wanted_mean_that_there_are_no_more() -> None:
    items, scores = SimulatedRecall(WORLD).candidates(USER, 500, [], NOW)

    assert 100 < len(items) == len(scores) <= 200
