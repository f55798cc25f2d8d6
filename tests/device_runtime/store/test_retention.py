from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store import BehaviourStore, Retention
from edgerec.device_runtime.store.retention import DAY_MS
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from tests.device_runtime.store.example_rows import START, VERSION, behaviour, encode_all, open_store, request

NOW = START + 1000 * DAY_MS


def fill(store: BehaviourStore, count: int, *, send: bool = True) -> None:
    for number in range(store.next_ordinal(EXPOSURE), count):
        store.record(behaviour(number))
    while send and (batch := store.unsent(1000)) is not None:
        store.mark_sent(batch.number)


def kept(store: BehaviourStore) -> list[int]:
    return [ordinal for ordinal, _ in store.latest(EXPOSURE, 10_000)]


@pytest.mark.parametrize(("rows", "first"), [(0, 22), (8, 22), (9, 21), (25, 5), (1000, 0)])
def test_the_latest_rows_are_kept_and_never_fewer_than_windows_need(tmp_path: Path, rows: int, first: int) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(rows=rows, days=5000)) as store:
        fill(store, 30)
        store.record(behaviour(1, PAGE_VIEW))
        assert store.prune(NOW) == first
        assert kept(store) == list(range(first, 30))
        assert len(store.latest(PAGE_VIEW, 5)) == 1


def test_old_rows_are_deleted(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(days=2)) as store:
        fill(store, 30)
        now = START + 12_000 + 2 * DAY_MS
        assert store.prune(now) == 12
        assert kept(store)[0] == 12
        assert store.prune(now) == 0
        assert store.prune(NOW) == 10
        assert kept(store) == list(range(22, 30))


@pytest.mark.parametrize("count", range(8, 20))
def test_after_pruning_everything_that_a_window_needs_can_be_encoded(tmp_path: Path, count: int) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(rows=0, days=0)) as store:
        fill(store, count)
        before = store.pending(EXPOSURE, VERSION)
        store.prune(NOW)
        assert [ordinal for ordinal, _ in store.pending(EXPOSURE, VERSION)] == [ordinal for ordinal, _ in before]
        encode_all(store)
        assert len(store.window(EXPOSURE, VERSION, 4)) == 4


def test_unsent_rows_and_those_of_open_pages_are_kept(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(rows=0, days=0)) as store:
        fill(store, 10)
        fill(store, 30, send=False)
        assert store.prune(NOW) == 10
        store.record_request(request(0, page_id=2, item_ids=[4, 9], time=store.request_time(0), exposures_end=14))
        fill(store, 30)
        assert store.prune(NOW) == 4
        store.end_page(2)
        batch = store.unsent(10)
        assert batch is not None
        assert batch.requests[0]["clicked"] == [0, None]
        assert store.prune(NOW) == 8


def test_many_rows_are_deleted_in_several_transactions(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(rows=0, days=0)) as store:
        fill(store, 1300)
        assert store.prune(NOW) == 1292
        assert kept(store) == list(range(1292, 1300))


def test_the_file_stays_bounded(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db", retention=Retention(rows=50)) as store:
        sizes = []
        for count in range(100, 1200, 100):
            fill(store, count)
            encode_all(store)
            store.prune(START)
            measured = store.measure()
            assert measured["wal_bytes"] == 0
            sizes.append(measured["file_bytes"])
        assert sizes[-1] == sizes[2]


def test_measure_counts_rows_and_bytes(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        empty = store.measure()
        assert empty["stored_per_behaviour"] is empty["written_per_behaviour"] is None
        fill(store, 20)
        store.record(behaviour(0, PAGE_VIEW))
        store.record_request(request(0))
        measured = store.measure()
        assert measured["rows"] == {"exposures": 20, "page_views": 1, "open_requests": 1, "requests": 0}
        before = measured["written_bytes"]
        assert 2000 < measured["written_per_behaviour"] == before / 21
        assert 0 < measured["stored_per_behaviour"] == (measured["file_bytes"] - measured["unused_bytes"]) / 21
        store.prune(START)
        assert store.measure()["written_bytes"] == before
        assert (tmp_path / "store.db").stat().st_size == store.measure()["file_bytes"]


@pytest.mark.parametrize("values", [{"rows": -1}, {"days": 1.5}, {"unsent_rows": 0}, {"rows": True}])
def test_an_invalid_retention_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="of Retention should be a whole number from"):
        Retention(**values)
