from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store import BehaviourStore, requests
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from tests.device_runtime.store.example_rows import START, VERSION, behaviour, open_store, request


def sent_requests(store: BehaviourStore) -> list[dict[str, Any]]:
    batch = store.unsent(1000)
    return [] if batch is None else [dict(row) for row in batch.requests]


def expose(store: BehaviourStore, item_id: int, page_id: int = 1) -> None:
    store.record(behaviour(0, time=store.last_time, item_id=item_id, page_id=page_id))


def test_a_request_is_sent_with_labels_when_its_page_has_ended(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record_request(request(10, item_ids=[1, 2, 3, 4, 5], served={"score": [1, 2, 3, 4, 5]}))
        expose(store, 1)
        expose(store, 2)
        expose(store, 3, page_id=2)
        store.record_click(1, 2, store.last_time)
        store.record_click(2, 4, store.last_time)
        assert sent_requests(store) == []
        store.mark_sent(0)
        store.end_page(1)
        assert sent_requests(store) == [
            {
                "request_id": 10,
                "user_id": 7,
                "store_id": store.store_id,
                "time": START,
                "page_id": 1,
                "trigger": "page",
                "model_version": VERSION,
                "item_id": [1, 2, 3, 4, 5],
                "clicked": [0, 1, None, None, None],
                "exposures_end": 0,
                "page_views_end": 0,
                "positions": [2, 0, 1],
                "scores": [0.1, 0.2, 0.3],
                "outcome": "shadow",
                "duration_ms": 1.5,
                "score": [1, 2, 3, 4, 5],
                "device": "phone",
            }
        ]


def test_a_row_has_the_propensities_only_if_places_were_explored(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record_request(request(0))
        store.record_request(request(1, propensities=np.array([0.92, 0.05]), explored_among=np.int64(2)))
        store.end_page(1)
        plain, explored = sent_requests(store)
        assert {"propensities": [0.92, 0.05], "explored_among": 2, **plain} == {**explored, **plain}
        assert list(explored)[: len(plain) - 2] == list(plain)[:-2]


def test_labels_count_only_what_came_after_the_request(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record_request(request(0))
        expose(store, 1)
        expose(store, 2)
        store.record_click(1, 1, store.last_time)
        store.record_request(request(1, time=store.request_time(store.last_time), exposures_end=2))
        expose(store, 3)
        store.record_click(1, 2, store.last_time)
        store.end_page(1)
        assert [row["clicked"] for row in sent_requests(store)] == [[1, 1, 0], [None, 1, 0]]


def test_a_request_that_knows_everything_comes_after_it(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        expose(store, 1)
        store.record(behaviour(5, PAGE_VIEW))
        latest = store.last_time
        ends = {"exposures_end": store.next_ordinal(EXPOSURE), "page_views_end": store.next_ordinal(PAGE_VIEW)}
        store.record_request(request(0, time=0, **ends))
        assert store.last_time == latest + 1
        store.record(behaviour(0))
        store.record_request(request(1, time=latest + 1, **ends))
        store.end_page(1)
        assert [row["time"] for row in sent_requests(store)] == [latest + 1, latest + 1]


def test_opening_a_store_ends_the_pages_of_the_process_before(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record_request(request(0))
        store.record_request(request(1, page_id=2))
        expose(store, 3, page_id=2)
        store.record_click(1, 2, store.last_time)
    with open_store(tmp_path / "store.db") as store:
        assert [row["clicked"] for row in sent_requests(store)] == [[None, 1, None], [None, None, 0]]
        assert store.measure()["rows"]["open_requests"] == 0


def test_a_page_that_stays_open_does_not_hold_back_another_page(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record_request(request(0, page_id=1))
        store.record_request(request(1, page_id=2))
        store.end_page(2)
        store.end_page(9)
        assert [row["request_id"] for row in sent_requests(store)] == [1]


def test_requests_without_an_answer_and_with_numpy_numbers(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        answer = {"positions": np.array([1, 0]), "scores": np.array([0.5, 0.25], np.float32)}
        store.record_request(request(0, item_ids=np.array([1, 2]), **answer))
        store.record_request(request(1, positions=None, scores=None, duration_ms=None, model_version=None))
        store.end_page(1)
        first, second = sent_requests(store)
        assert (first["item_id"], first["positions"], first["scores"]) == ([1, 2], [1, 0], [0.5, 0.25])
        assert second["positions"] is second["scores"] is second["duration_ms"] is second["model_version"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context": {"scores": 1}}, "`context` should not have the column 'scores'"),
        ({"served": {"item_id": [1, 2, 3]}}, "`served` should not have the column 'item_id'"),
        ({"scores": [float("nan")]}, "`request` should have strings, finite numbers"),
        ({"item_ids": [1.5]}, "`item_ids` should be a whole number"),
    ],
)
def test_an_invalid_request_is_not_recorded(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with open_store(tmp_path / "store.db") as store:
        with pytest.raises(StoreError, match=message):
            store.record_request(request(0, **changes))
        assert store.measure()["rows"]["open_requests"] == 0


def test_a_page_that_never_ends_has_a_bounded_number_of_open_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_OPEN", 3)
    with open_store(tmp_path / "store.db") as store:
        for number in range(6):
            time, end = store.request_time(store.last_time), store.next_ordinal(EXPOSURE)
            store.record_request(request(number, item_ids=[1, 2, 3], time=time, exposures_end=end))
            store.record_request(request(100 + number, page_id=2 + number, item_ids=[1, 2, 3]))
            if number == 1:
                expose(store, 2)
                store.record_click(1, 2, store.last_time)
        assert store.measure()["rows"]["open_requests"] == 3 + 6
        rows = sent_requests(store)
        assert [row["request_id"] for row in rows] == [0, 1, 2]
        assert [row["clicked"] for row in rows] == [[None, 1, None], [None, 1, None], [None, None, None]]
        store.mark_sent(0)
        store.end_page(1)
        assert [row["request_id"] for row in sent_requests(store)] == [3, 4, 5]
