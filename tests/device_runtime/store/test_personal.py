"""Events and patches in the store: what an ended page leaves, bounds, times, formats, damage and erasure."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import DamagedStoreError, StoreError
from edgerec.device_runtime.store import BehaviourStore, personal, requests
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.forget import forget_store
from edgerec.device_runtime.store.retention import DAY_MS, Retention
from edgerec.device_runtime.store.rows import PatchState
from edgerec.device_runtime.store.spool import create
from edgerec.device_runtime.store.statements import read_migrations
from edgerec.features.behaviours import EXPOSURE
from edgerec.personalization.events import Events
from edgerec.personalization.patch import Patch
from tests.device_runtime.store.example_rows import START, VERSION, behaviour, floats, open_store, request


def phi_of(number: int, items: int = 3) -> np.ndarray:
    return floats(number, items * 4).reshape(items, 4).astype(np.float16)


def ask(store: BehaviourStore, number: int, page_id: int = 1, **changes: Any) -> None:
    """Record a request with `phi_of(number)`. It knows all exposures so far."""
    changes = {"phi": phi_of(number, len(changes.get("item_ids", (1, 2, 3)))), **changes}
    end = store.next_ordinal(EXPOSURE)
    store.record_request(request(number, page_id=page_id, exposures_end=end, **changes))


def expose(store: BehaviourStore, item_id: int, page_id: int = 1, time: int = START) -> None:
    store.record(behaviour(item_id, item_id=item_id, page_id=page_id, time=time))


def page(store: BehaviourStore, page_id: int, time: int = START, **changes: Any) -> None:
    """Record a page of which all three candidates are seen, and the second one is clicked."""
    ask(store, page_id, page_id, time=time, **changes)
    for item_id in changes.get("item_ids", (1, 2, 3)):
        expose(store, item_id, page_id, time)
    store.record_click(page_id, 2, store.last_time)
    store.end_page(page_id)


def events_of(store: BehaviourStore, version_id: str = VERSION) -> Events:
    events = store.personal.events(version_id)
    assert events is not None
    return events


def a_state(time: int = START, **changes: Any) -> PatchState:
    values = {"user_id": 7, "version_id": VERSION, "theta": floats(3, 5), "events": 12, "time": time, **changes}
    return PatchState(VERSION, Patch(**values), time + 5, 4, "trained", 2)


def test_an_item_counts_once_with_the_latest_request_that_has_a_label(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        ask(store, 10, scores=[1.5, 2.5, 3.5])
        expose(store, 1)
        ask(store, 20, item_ids=[3, 2], scores=[4.5, 5.5], served={}, positions=[0, 1])
        expose(store, 3)
        store.record_click(1, 3, store.last_time)
        ask(store, 30, item_ids=[2], scores=[6.5], served={}, positions=[0])
        assert store.personal.events(VERSION) is None
        store.end_page(1)
        events = events_of(store)
        batch = store.unsent(100)
    # Item 1 has a label at the first request only, item 3 at two, and nobody has seen item 2.
    np.testing.assert_array_equal(events.phi, [phi_of(10)[0], phi_of(20, 2)[0]])
    np.testing.assert_array_equal(events.logits, np.array([1.5, 4.5], np.float32))
    np.testing.assert_array_equal(events.labels, [0, 1])
    np.testing.assert_array_equal(events.requests, [1, 1])
    assert (events.phi.dtype, events.labels.dtype) == (np.float32, np.float32)
    # Nothing of it is in the rows that are sent.
    assert batch is not None
    assert all("phi" not in row and "personal" not in row for row in batch.requests)


def test_numbers_keep_the_precision_of_float16(tmp_path: Path) -> None:
    phi = np.array([[60000.0, -1 / 3], [6e-8, 0.1], [1, 2]], np.float16)
    with open_store(tmp_path / "a.db") as store:
        page(store, 1, phi=phi)
        np.testing.assert_array_equal(events_of(store).phi, phi.astype(np.float32))
        rows = store._database.rows("SELECT phi, LENGTH(phi), LENGTH(logits), LENGTH(labels) FROM personal_events")
        assert rows == [(phi.tobytes(), 12, 12, 3)]
    with open_store(tmp_path / "a.db") as store:
        np.testing.assert_array_equal(events_of(store).phi, phi.astype(np.float32))
        with pytest.raises(StoreError, match="phi"):
            ask(store, 2, phi=phi.astype(np.float32))


def test_requests_of_another_version_on_the_page_do_not_count(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        ask(store, 10, model_version="old")
        expose(store, 1)
        ask(store, 20, item_ids=[2, 3], scores=[4.5, 5.5], served={}, positions=[0, 1])
        ask(store, 21, item_ids=[2, 3], scores=None, served={}, positions=None, phi=None, model_version=None)
        expose(store, 2)
        store.end_page(1)
        assert store.personal.events("old") is None
        np.testing.assert_array_equal(events_of(store).logits, [4.5])
        page(store, 2, model_version="old")
        assert store.personal.counts() == {VERSION: (1, 1), "old": (1, 3)}


def test_what_another_head_or_version_has_left_is_deleted(tmp_path: Path) -> None:
    def left(store: BehaviourStore) -> tuple[int, int, int]:
        (phi,) = store._database.rows("SELECT COUNT(phi) FROM open_requests")[0]
        return len(store.personal.versions()), sum(pages for pages, _ in store.personal.counts().values()), phi

    def fill(store: BehaviourStore, number: int) -> None:
        page(store, number)
        store.personal.write(a_state())
        ask(store, number + 1, number + 1)

    path = tmp_path / "a.db"
    with open_store(path) as store:
        fill(store, 1)
        store.personal.keep_only(VERSION, "one")
        assert left(store) == (0, 0, 0)
        for number, model in enumerate([(VERSION, "two"), (VERSION, ""), ("other", ""), (VERSION, "one")]):
            fill(store, 10 * number + 10)
            store.personal.keep_only(*model)
            assert left(store) == (0, 0, 0)
        fill(store, 90)
        store.personal.keep_only(VERSION, "one")
        assert left(store) == (1, 1, 1)
    with open_store(path) as store:
        store.personal.keep_only(VERSION, "one")
        assert left(store)[:2] == (1, 1)


def test_a_page_of_too_many_requests_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_OPEN", 5)
    with open_store(tmp_path / "a.db") as store:
        ask(store, 1)
        expose(store, 1)
        for number in range(5):
            ask(store, number + 2)
        store.record_click(1, 1, store.last_time)
        expose(store, 2)
        store.end_page(1)
        events = events_of(store)
        assert len(events) == 2
        np.testing.assert_array_equal(events.phi, [phi_of(6)[0], phi_of(6)[1]])
        np.testing.assert_array_equal(events.labels, [1, 0])


def test_the_newest_requests_of_a_page_keep_phi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_READ", 3)
    with open_store(tmp_path / "a.db") as store:
        ask(store, 90, 2)
        ask(store, 1)
        expose(store, 1)
        for number in range(2, 6):
            ask(store, number)
        expose(store, 2)
        kept = store._database.rows("SELECT page_id, phi IS NOT NULL FROM open_requests ORDER BY sequence")
        assert kept == [(2, 1), (1, 0), (1, 0), (1, 1), (1, 1), (1, 1)]
        store.end_page(1)
        # Item 1 was seen with the first request only. It has its label in the logs, and gives no event.
        np.testing.assert_array_equal(events_of(store).phi, [phi_of(5)[1]])
        batch = store.unsent(100)
        assert batch is not None
        assert batch.requests[0]["clicked"] == [0, 0, None]
    with open_store(tmp_path / "a.db", check=True):
        pass


def test_opening_a_store_ends_its_pages_and_keeps_their_events(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        page(store, 1)
        ask(store, 2, 2)
        expose(store, 2, 2)
    with open_store(tmp_path / "a.db") as store:
        np.testing.assert_array_equal(events_of(store).requests, [1, 1, 1, 2])
        assert store.personal.newest == 2


def test_the_oldest_pages_are_dropped_if_there_are_too_many_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal, "MOST_EVENTS", 9)
    with open_store(tmp_path / "a.db") as store:
        for number in range(1, 4):
            page(store, number)
        assert store.personal.counts() == {VERSION: (3, 9)}
        ask(store, 4, 4)
        expose(store, 2, 4)
        store.end_page(4)
        assert store.personal.counts() == {VERSION: (3, 7)}
        assert events_of(store).requests.tolist() == [2, 2, 2, 3, 3, 3, 4]


def test_old_events_and_old_patches_go_with_the_retention(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", retention=Retention(days=10)) as store:
        store.personal.write(a_state())
        page(store, 1)
        page(store, 2, START + DAY_MS)
        store.prune(START + 11 * DAY_MS, by_age=False)
        assert store.personal.counts() == {VERSION: (2, 6)}
        store.prune(START + 10 * DAY_MS + DAY_MS // 2)
        assert store.personal.counts() == {VERSION: (1, 3)}
        assert store.personal.state(VERSION) is None
        store.personal.write(a_state(START + DAY_MS))
        store.prune(START + 11 * DAY_MS)
        assert store.personal.state(VERSION) is not None


def test_a_patch_survives_a_restart_byte_for_byte(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        assert store.personal.state(VERSION) is None
        store.personal.write(a_state())
        with pytest.raises(StoreError, match=r"should belong to user 7 .* one of user 8"):
            store.personal.write(a_state(user_id=8))
        with pytest.raises(StoreError, match="version"):
            store.personal.write(a_state(version_id="other"))
        with pytest.raises(StoreError, match="theta"):
            store.personal.write(a_state(theta=np.zeros(5)))
    with open_store(tmp_path / "a.db") as store:
        found, wanted = store.personal.state(VERSION), a_state()
        assert found is not None
        assert (found.time, found.through, found.outcome, found.rollbacks) == (START + 5, 4, "trained", 2)
        assert found.patch is not None
        assert wanted.patch is not None
        assert found.patch.theta.tobytes() == wanted.patch.theta.tobytes()
        assert (found.patch.user_id, found.patch.events, found.patch.time) == (7, 12, START)
        # A page after it is newer, also if all events were dropped.
        page(store, 1)
        assert events_of(store).requests.tolist() == [5, 5, 5]
        store.personal.write(PatchState(VERSION, None, START + 6, 5, "rejected"))
        found = store.personal.state(VERSION)
        assert found is not None
        assert (found.patch, found.outcome, found.rollbacks) == (None, "rejected", 0)


def test_times_of_a_wrong_clock_are_set_back(tmp_path: Path) -> None:
    late = START + 1000 * DAY_MS
    with open_store(tmp_path / "a.db") as store:
        page(store, 1, START)
        page(store, 2, late)
        store.personal.write(a_state(late))
        now = START + 5000
        assert store.set_back(now)
        times = [time for (time,) in store._database.rows("SELECT time FROM personal_events ORDER BY sequence")]
        assert times[0] == START
        assert START <= times[1] <= now
        state = store.personal.state(VERSION)
        assert state is not None
        assert state.patch is not None
        assert START <= state.patch.time <= state.time <= now
        assert state.through == 4  # Pages have their numbers: a training goes on behind the same page.
        page(store, 3, now)
        assert events_of(store).requests.max() == store.personal.newest


def test_a_store_of_format_3_gets_the_tables_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = Database(path, read_migrations()[:3], create=lambda database: create(database, 7), checksums=False)
    old.execute("INSERT INTO exposures (ordinal, time, item_id, seen, action, served) VALUES (0, 9, 3, 1, '{}', '{}')")
    row = {"item_id": [1], "scores": [0.5], "model_version": VERSION, "time": 8}
    sql = "INSERT INTO open_requests (page_id, time, exposures_end, log_row) VALUES (1, 8, 0, ?)"
    old.execute(sql, (json.dumps(row),))
    old.close()
    with open_store(path) as store:
        assert (store.personal.versions(), store.next_ordinal(EXPOSURE)) == ([], 1)
        page(store, 1)
        store.personal.write(a_state())
        batch = store.unsent(100)
        assert batch is not None
        assert [each["item_id"] for each in batch.requests] == [[1], [1, 2, 3]]
    with open_store(path) as store:
        assert store.personal.versions() == [VERSION]
        assert store.personal.counts() == {VERSION: (1, 3)}


@pytest.mark.parametrize(
    ("table", "change"),
    [("personal_events", "labels = x'000000'"), ("patches", "rollbacks = 3"), ("patches", "trained = 1")],
)
def test_a_changed_row_is_damage(tmp_path: Path, table: str, change: str) -> None:
    path = tmp_path / "a.db"
    with open_store(path) as store:
        page(store, 1)
        store.personal.write(a_state())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {change}")
    with pytest.raises(DamagedStoreError, match=f"a row of the table `{table}` was changed"):
        open_store(path)


def marks_in(path: Path, marks: list[bytes]) -> list[bool]:
    content = b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))
    return [mark in content for mark in marks]


def test_no_reset_leaves_a_large_phi_in_unused_pages(tmp_path: Path) -> None:
    path, items = tmp_path / "a.db", list(range(1, 101))
    rng = np.random.default_rng(0)
    with open_store(path) as store:
        for _ in range(2):
            large = [rng.normal(size=(100, 83)).astype(np.float16) for _ in range(4)]
            for number, phi in enumerate(large, 1):
                ask(store, number, number, item_ids=items, scores=[0.5] * 100, served={}, positions=None, phi=phi)
                expose(store, 1, number)
            rows = [row.tobytes() for phi in large for row in phi]
            # Some rows lie on two pages of the file.
            marks = list(compress(rows, marks_in(path, rows)))
            assert len(marks) > 300
            for number in (1, 2, 3):
                store.end_page(number)
            store.personal.forget()
            assert not any(marks_in(path, marks))


def test_forgetting_leaves_no_bytes_of_patch_and_events(tmp_path: Path) -> None:
    path, theta, phi = tmp_path / "a.db", floats(77, 5), phi_of(99)
    marks = [theta.tobytes(), phi.tobytes(), phi_of(55).tobytes()]
    with open_store(path) as store:
        page(store, 1, phi=phi)
        ask(store, 55, 2)
        store.personal.write(a_state(theta=theta))
        assert all(marks_in(path, marks))
        resets = store.personal.resets
        store.personal.forget()
        assert store.personal.resets == resets + 1
        assert not any(marks_in(path, marks))
        assert (store.personal.versions(), store.personal.newest) == ([], 0)
        # The open request has its label when its page ends, and gives no event.
        expose(store, 2, 2)
        store.end_page(2)
        assert store.personal.versions() == []
        batch = store.unsent(100)
        assert batch is not None
        assert [row["clicked"] for row in batch.requests] == [[0, 1, 0], [None, 0, None]]
        assert store.next_ordinal(EXPOSURE) == 4
        page(store, 3, phi=phi)
        store.personal.write(a_state(theta=theta))
    with path.open("rb") as kept:
        forget_store(path, 7)
        content = kept.read()
    assert [mark in content for mark in marks] == [False] * 3
