from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store import BehaviourStore, Retention
from edgerec.device_runtime.store.retention import DAY_MS
from edgerec.device_runtime.store.spool import REQUESTS_AT_ONCE
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.paging.log_rows import LogBatch
from tests.device_runtime.store.example_rows import START, behaviour, open_store, request


def batch(store: BehaviourStore, most_rows: int = 1000) -> LogBatch:
    found = store.unsent(most_rows)
    assert found is not None
    return found


def ordinals(one: LogBatch) -> list[tuple[str, int]]:
    return [(row["kind"], row["ordinal"]) for row in one.events]


def test_an_event_has_the_columns_of_the_logs(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record(behaviour(12, opened_from="feed"))
        found = batch(store)
        assert (found.user_id, found.store_id, found.number) == (7, store.store_id, 0)
        assert list(found.events) == [
            {
                "user_id": 7,
                "time": START + 12_000,
                "kind": "exposure",
                "item_id": 2,
                "store_id": store.store_id,
                "ordinal": 0,
                "page_id": 1,
                "offered_at": START,
                "opened_from": "feed",
                "duration_s": 3.0,
                "reason": "seen",
                "tags": None,
                "score": 1.5,
            }
        ]


def test_a_batch_has_few_requests_because_they_are_large(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        for number in range(2 * REQUESTS_AT_ONCE + 1):
            store.record_request(request(number, time=START + number))
        store.record(behaviour(9))
        store.end_page(1)
        sizes, seen = [], []
        while (found := store.unsent(1000)) is not None:
            sizes.append((len(found.events), len(found.requests)))
            seen += [row["request_id"] for row in found.requests]
            store.mark_sent(found.number)
        assert sizes == [(1, REQUESTS_AT_ONCE), (0, REQUESTS_AT_ONCE), (0, 1)]
        assert len(set(seen)) == len(seen) == 2 * REQUESTS_AT_ONCE + 1


def test_rows_are_sent_oldest_first_and_once(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record_request(request(0, time=START + 500))
        for number in range(7):
            store.record(behaviour(number, PAGE_VIEW if number in (1, 4) else EXPOSURE))
        store.end_page(1)
        first = batch(store, 4)
        assert ordinals(first) == [("exposure", 0), ("page_view", 0), ("exposure", 1)]
        assert len(first.requests) == 1
        store.mark_sent(0)
        assert store.measure()["rows"]["requests"] == 0
        second = batch(store, 4)
        assert (second.number, ordinals(second)) == (
            1,
            [("exposure", 2), ("page_view", 1), ("exposure", 3), ("exposure", 4)],
        )
        store.mark_sent(1)
        assert store.unsent(4) is None


def test_a_batch_stays_the_same_until_it_is_marked(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record_request(request(0))
        for number in range(3):
            store.record(behaviour(number))
        store.end_page(1)
        first = batch(store, 3)
        store.record_request(request(1))
        store.record(behaviour(3))
        store.end_page(1)
        assert batch(store, 1000) == first
    with open_store(tmp_path / "store.db") as store:
        assert batch(store, 1) == first
        store.mark_sent(0)
        store.mark_sent(0)
    with open_store(tmp_path / "store.db") as store:
        second = batch(store)
        assert (second.number, ordinals(second)) == (1, [("exposure", 2), ("exposure", 3)])
        assert [row["request_id"] for row in second.requests] == [1]


def test_only_the_offered_batch_can_be_marked(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record(behaviour(0))
        with pytest.raises(StoreError, match="batch 0 was not returned by `unsent`"):
            store.mark_sent(0)
        batch(store)
        with pytest.raises(StoreError, match="batch 1 was not returned by `unsent`"):
            store.mark_sent(1)
        with pytest.raises(StoreError, match="`most_rows` should be at least 1"):
            store.unsent(0)


def test_a_refused_batch_is_halved_and_its_last_row_is_dropped(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        for number in range(5):
            store.record(behaviour(number))
        with pytest.raises(StoreError, match="batch 0 is not being sent"):
            store.refuse_batch(0)
        batch(store, 4)
        # A request that becomes complete later is older, but it does not join the batch.
        store.record_request(request(0, time=START - 500))
        store.end_page(1)
        assert store.refuse_batch(0) == 0
    with open_store(tmp_path / "store.db") as store:
        half = batch(store)
        assert (half.number, ordinals(half), half.requests) == (0, [("exposure", 0), ("exposure", 1)], ())
        assert store.refuse_batch(0) == 0
        assert ordinals(batch(store)) == [("exposure", 0)]
        assert store.measure()["lost"] == 0
        assert store.refuse_batch(0) == 1
        assert store.measure()["lost"] == 1
        rest = batch(store)
        assert (rest.number, ordinals(rest)) == (1, [("exposure", n) for n in (1, 2, 3, 4)])
        assert len(rest.requests) == 1


def test_the_oldest_rows_are_dropped_from_a_spool_that_is_too_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(unsent_rows=4)) as store:
        store.record_request(request(0))
        for number in range(6):
            store.record(behaviour(number))
        store.end_page(1)
        with caplog.at_level(logging.WARNING):
            store.prune(START)
        assert "3 log rows were dropped before they could be sent" in caplog.text
        assert store.measure()["lost"] == 3
        found = batch(store)
        assert (found.number, ordinals(found), found.requests) == (0, [("exposure", n) for n in (2, 3, 4, 5)], ())
        assert len(store.latest(EXPOSURE, 10)) == 6


def test_a_batch_that_loses_rows_is_dropped_with_its_number(tmp_path: Path) -> None:
    """The cloud may have stored the batch, so another batch of its number would be taken for the same one."""
    with open_store(tmp_path / "store.db", retention=Retention(unsent_rows=4)) as store:
        for number in range(5):
            store.record(behaviour(number))
        assert ordinals(batch(store, 3)) == [("exposure", n) for n in range(3)]
        store.prune(START)
        assert store.measure()["lost"] == 3
        found = batch(store)
        assert (found.number, ordinals(found)) == (1, [("exposure", 3), ("exposure", 4)])


ACTIONS = st.lists(
    st.sampled_from(["exposure", "page_view", "request", "end", "offer", "sent", "refuse", "open", "prune"]),
    max_size=30,
)


@settings(max_examples=15)
@given(actions=ACTIONS, most_rows=st.integers(1, 5))
def test_every_row_arrives_once_and_in_order_or_is_counted_as_lost(
    tmp_path: Path, actions: list[str], most_rows: int
) -> None:
    path = tmp_path / "store.db"
    path.unlink(missing_ok=True)
    settings: dict[str, Any] = {"retention": Retention(rows=0, days=0, unsent_rows=6)}
    store = open_store(path, **settings)
    arrived: dict[int, LogBatch] = {}
    recorded = {"exposure": 0, "page_view": 0, "request": 0}
    for action in [*actions, "open", *["offer", "sent"] * 40]:
        number = sum(recorded.values())
        if action in ("exposure", "page_view"):
            store.record(behaviour(number, EXPOSURE if action == "exposure" else PAGE_VIEW))
        elif action == "request":
            store.record_request(request(number, time=store.request_time(0), page_id=1))
        elif action == "end":
            store.end_page(1)
        elif action == "prune":
            store.prune(START + 10**12)
        elif action == "open":
            store.close()
            store = open_store(path, **settings)
        elif (found := store.unsent(most_rows)) is not None:
            assert arrived.setdefault(found.number, found) == found
            assert 1 <= len(found.events) + len(found.requests) <= most_rows
            if action == "sent":
                store.mark_sent(found.number)
            elif action == "refuse":
                store.refuse_batch(found.number)
                del arrived[found.number]
        recorded[action] = recorded.get(action, 0) + 1
    batches = [arrived[number] for number in sorted(arrived)]
    counts = {kind: recorded[kind] for kind in ("exposure", "page_view", "request")}
    rows = 0
    for kind in ("exposure", "page_view"):
        seen = [row["ordinal"] for each in batches for row in each.events if row["kind"] == kind]
        assert seen == sorted(set(seen))
        rows += len(seen)
    requests = [row["request_id"] for each in batches for row in each.requests]
    assert len(set(requests)) == len(requests)
    lost = store.measure()["lost"]
    store.close()
    # A batch that was offered and then dropped has arrived, but also counts as lost.
    assert rows + len(requests) <= sum(counts.values()) <= rows + len(requests) + lost


def damage(store: BehaviourStore, *ordinals_: int) -> None:
    for ordinal in ordinals_:
        store._database.write("UPDATE exposures SET action = '{' WHERE ordinal = ?", (ordinal,))


def test_a_row_that_cannot_be_read_is_lost_and_the_others_are_sent(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        for number in range(6):
            store.record(behaviour(number))
        damage(store, 1, 2, 3)
        sent = []
        while (found := store.unsent(2)) is not None:
            assert store.unsent(2) == found
            sent += ordinals(found)
            store.mark_sent(found.number)
        assert sent == [("exposure", ordinal) for ordinal in (0, 4, 5)]
        assert store.measure()["lost"] == 3
        assert store.next_ordinal(EXPOSURE) == 6


@pytest.mark.parametrize("retention", [{"unsent_bytes": 2600}, {"unsent_days": 1}])
def test_unsent_rows_are_bounded_in_bytes_and_days(tmp_path: Path, retention: dict[str, int]) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(**retention)) as store:
        for number in range(30):
            store.record(behaviour(number, time=START + number * DAY_MS // 8))
        store.prune(START + 30 * DAY_MS)
        kept = ordinals(batch(store))
        assert 8 <= len(kept) <= 12
        assert kept[-1] == ("exposure", 29)
        assert store.measure()["lost"] == 30 - len(kept)


def test_a_clock_that_is_years_ahead_for_a_moment_drops_no_unsent_rows(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record(behaviour(0))
        store.prune(START + 5000 * DAY_MS)
        assert len(ordinals(batch(store))) == 1
