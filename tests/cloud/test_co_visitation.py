from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.cloud import co_visitation, pair_counts
from edgerec.cloud.co_visitation import (
    HALF_LIFE_MS,
    POPULARITY,
    SEEDS,
    SEEN,
    WINDOW_MS,
    WINDOW_VIEWS,
    CoVisitation,
)
from edgerec.cloud.pair_counts import PairCounts

IDS = np.arange(100, 140)
HOUR = 3_600_000


def events(rows: list[tuple[int, int, str, int]]) -> pl.DataFrame:
    """Make events of (user, time, kind, item)."""
    names = {"user_id": pl.Int64, "time": pl.Int64, "kind": pl.String, "item_id": pl.Int64}
    return pl.DataFrame(rows, schema=names, orient="row")


def views(*rows: tuple[int, int, int]) -> pl.DataFrame:
    return events([(user, time, "page_view", item) for user, time, item in rows])


def random_events(seed: int, count: int = 600) -> pl.DataFrame:
    """Make events of 15 users, in order of time."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["exposure", "page_view"], count)
    times = np.sort(rng.integers(0, 40 * HOUR, count))
    users, items = rng.integers(0, 15, count), IDS[np.minimum(rng.geometric(0.1, count), len(IDS)) - 1]
    return events(list(zip(users.tolist(), times.tolist(), kinds.tolist(), items.tolist(), strict=True)))


def test_an_item_that_was_viewed_together_comes_first() -> None:
    recall = CoVisitation(IDS)
    # Item 105 is popular. Items 110 and 111 are viewed together by few users.
    recall.learn(views(*((user, user * HOUR, 105) for user in range(50, 60))))
    recall.learn(views(*((user, time, item) for user in (1, 2) for time, item in ((0, 110), (10, 111)))))
    recall.learn(views((9, 20, 110)))
    found, scores = recall.candidates(9, 5, (), 100)
    assert found[0] == 111
    assert found[1] == 105
    assert (np.diff(scores) <= 0).all()
    newcomer, _ = recall.candidates(77, 5, (), 100)
    assert newcomer[0] == 105


def test_a_device_with_a_wrong_clock_does_not_outweigh_others() -> None:
    recall = CoVisitation(IDS, clock=lambda: 100 * HOUR)
    for batch in range(2):
        recall.learn(views(*((user, 99 * HOUR + batch, 105) for user in range(50, 55))))
        recall.learn(views((1, 10**6 * HOUR, 110)))
    found, scores = recall.candidates(77, 2, (), 100 * HOUR)
    assert found.tolist() == [105, 110]
    assert scores[1] > 0


def test_views_that_are_far_apart_are_not_joint() -> None:
    recall = CoVisitation(IDS)
    recall.learn(views((1, 0, 110), (1, WINDOW_MS + 1, 111), (1, WINDOW_MS + 2, 112)))
    recall.learn(views((9, 0, 111)))
    assert recall.candidates(9, 1, (), 0)[0].tolist() == [112]
    assert recall._pairs.of(10)[0].tolist() == []


def test_held_items_are_left_out_and_seen_items_come_last() -> None:
    recall = CoVisitation(IDS)
    recall.learn(events([(1, time, "exposure", item) for time, item in enumerate((100, 101, 102, 101))]))
    found, _ = recall.candidates(1, len(IDS), (103, 104, 999), 0)
    assert len(found) == len(set(found.tolist())) == len(IDS) - 2
    assert not {103, 104} & set(found.tolist())
    assert found[-3:].tolist() == [100, 102, 101]
    assert recall.candidates(1, 7, (), 0)[0].tolist() == [103, 104, 105, 106, 107, 108, 109]


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_a_recall_that_learns_in_batches_equals_one_that_learns_at_once(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_counts, "_SMALL", 150)
    table = random_events(seed=1)
    whole, parts = CoVisitation(IDS), CoVisitation(IDS)
    whole.learn(table)
    for start in range(0, len(table), batch):
        parts.learn(table[start : start + batch])
    for user in range(16):
        (one, one_score), (other, other_score) = (each.candidates(user, 30, (101,), 0) for each in (whole, parts))
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one_score, other_score, rtol=1e-9)


def plain_scores(table: pl.DataFrame, user: int, most: int) -> dict[int, float]:
    """Compute the score of every item by the formula in the docstring of `co_visitation`, with loops."""
    seen: dict[int, list[tuple[int, int]]] = {}
    for owner, time, kind, item in table.iter_rows():
        if kind == "page_view":
            seen.setdefault(owner, []).append((time, item))
    joint, viewed, popular = Counter[tuple[int, int]](), Counter[int](), Counter[int]()
    for history in seen.values():
        for place, (time, item) in enumerate(history):
            viewed[item] += 1
            popular[item] += 0.5 ** ((40 * HOUR - time) / HALF_LIFE_MS)
            for earlier, other in history[max(place - WINDOW_VIEWS + 1, 0) : place]:
                if other != item and time - earlier <= WINDOW_MS:
                    joint[item, other] += 1
                    joint[other, item] += 1
    peak = max(popular.values())
    scores = {item: POPULARITY * popular[item] / peak for item in IDS.tolist()}
    latest = dict.fromkeys(item for _, item in reversed(seen.get(user, [])[-SEEDS:]))
    for rank, seed in enumerate(latest, start=1):
        neighbours = sorted((other for one, other in joint if one == seed), key=lambda o: (-joint[seed, o], o))[:most]
        for other in neighbours:
            scores[other] += joint[seed, other] / np.sqrt(viewed[seed] * viewed[other]) / rank
    return scores


@pytest.mark.parametrize("most", [500, 7])
def test_scores_equal_those_of_the_formula(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(co_visitation, "NEIGHBOURS", most)
    monkeypatch.setattr(co_visitation, "ORDERED", 10)
    monkeypatch.setattr(pair_counts, "_SMALL", 150)
    table = random_events(seed=2)
    recall = CoVisitation(IDS)
    for start in range(0, len(table), 200):
        for user in range(16):
            recall.candidates(user, 5, (), 0)  # what it keeps of this request does not outlive the next batch
        recall.learn(table[start : start + 200])
    for user in range(16):
        expected = plain_scores(table, user, most)
        for _ in range(2):  # the first request leaves nothing behind
            found, scores = recall.candidates(user, len(IDS), (IDS[3],), 0)
            assert set(found.tolist()) == set(IDS.tolist()) - {IDS[3]}
            np.testing.assert_allclose(scores, [expected[item] for item in found.tolist()], rtol=1e-9)
            behaved = set(table.filter(pl.col("user_id") == user)["item_id"].to_list())
            fresh = [item for item in found.tolist() if item not in behaved]
            assert fresh == sorted(fresh, key=lambda item: (-round(expected[item], 12), item))
            assert found.tolist()[: len(fresh)] == fresh


@settings(max_examples=30)
@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12), max_size=8))
def test_pair_counts_equal_a_dictionary(batches: list[list[tuple[int, int]]]) -> None:
    counts, expected = PairCounts(5), dict[tuple[int, int], int]()
    for pairs in batches:
        counts.add(*np.array(pairs, np.int64).T)
        for pair in pairs:
            expected[pair] = expected.get(pair, 0) + 1
    for row in range(5):
        others, found = counts.of(row)
        assert dict(zip(others.tolist(), found.tolist(), strict=True)) == {
            other: count for (one, other), count in expected.items() if one == row
        }


def test_popularity_fades_and_never_overflows() -> None:
    recall = CoVisitation(IDS)
    for year in range(20):
        recall.learn(views(*((user, year * 365 * 24 * HOUR, 100 + year) for user in range(2))))
    found, scores = recall.candidates(50, 20, (), 0)
    assert found[0] == 119
    assert np.isfinite(scores).all()


def test_memory_of_a_user_is_bounded() -> None:
    recall = CoVisitation(IDS)
    for start in range(0, 3 * SEEN, SEEN // 2):
        recall.learn(events([(1, start + step, "page_view", 100 + step % 40) for step in range(SEEN // 2)]))
    assert len(recall._seen[1]) == SEEN
    assert len(recall._latest[1][0]) == 10


def test_a_recall_without_items_or_events_returns_nothing() -> None:
    recall = CoVisitation(np.empty(0, np.int64))
    recall.learn(views((1, 0, 5)))
    found, scores = recall.candidates(1, 10, (3,), 0)
    assert (len(found), len(scores)) == (0, 0)
