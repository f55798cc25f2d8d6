"""Clocks that are wrong: behind, a day off, years ahead and back; with and without the time of the cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerec.device_runtime import client as client_module
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.clock import ClientClock
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.paging.cloud_time import CloudTime
from edgerec.paging.log_rows import LogBatch

DAY, YEAR, TRUE = 86_400_000, 31_536_000_000, 1_764_000_000_000


class Store:
    last_time = TRUE


@pytest.mark.parametrize("jump", [-DAY, -20 * YEAR, 120_000 - YEAR])
def test_time_goes_on_at_the_speed_of_a_clock_that_was_set_back(jump: int) -> None:
    store, now = Store(), [TRUE]
    clock = ClientClock(lambda: now[0], store)
    now[0] += jump
    for seconds in range(100):
        assert clock() == TRUE + 1000 * seconds
        store.last_time = clock()
        now[0] += 1000
    now[0] = TRUE + DAY
    assert clock() == TRUE + DAY


@pytest.mark.parametrize("device", [-1, TRUE - 20 * YEAR, TRUE - DAY, TRUE + DAY, TRUE + 10 * YEAR, 2**62])
def test_the_time_of_the_cloud_counts_if_the_clock_is_wrong(device: int) -> None:
    assert ClientClock(lambda: device, Store(), lambda: TRUE + 5)() == TRUE + 5
    assert ClientClock(lambda: TRUE + 30_000, Store(), lambda: TRUE)() == TRUE + 30_000


def test_the_header_date_gives_the_time_of_the_cloud() -> None:
    cloud = CloudTime()
    for wrong in (None, "", "soon", "Mon, 24 Nov 9999 16:00:00 GMT", "0", "Sat, 01 Jan 2000 00:00:00 GMT"):
        cloud.note(wrong)
        assert cloud.now_ms() is None
    cloud.note("Mon, 24 Nov 2025 16:00:00 GMT")
    assert 0 <= (cloud.now_ms() or 0) - 1_764_000_000_000 < 60_000


class Cloud:
    """A cloud that tells its time from its first answer on."""

    def __init__(self) -> None:
        self.batches: list[LogBatch] = []
        self.time, self.known = TRUE, False

    def cloud_time(self) -> int | None:
        return self.time if self.known else None

    def ask_time(self) -> None:
        self.known = True

    def send(self, batch: LogBatch) -> None:
        self.batches.append(batch)


def run(store: BehaviourStore, cloud: Any, monkeypatch: pytest.MonkeyPatch, times: list[int], *, send: bool) -> None:
    """Record a behaviour at each time of the device's clock."""
    now = [times[0]]
    monkeypatch.setattr(client_module, "now_ms", lambda: now[0])
    client = Client(store, cloud, None, config=ClientConfig(send_interval_ms=0))
    for time in times:
        now[0] = time
        client.exposed(1, {"duration_s": 1.0})
        if send:
            client.run_pending()
    client.close(send=send)


def test_times_that_are_years_ahead_are_set_back_before_they_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud()
    with BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        run(store, cloud, monkeypatch, [TRUE - 50_000, TRUE + 9 * YEAR, TRUE + 9 * YEAR + 2000], send=False)
        first = store.store_id
        run(store, cloud, monkeypatch, [TRUE + 9 * YEAR + 3000, TRUE + 4000], send=True)
        assert store.store_id == first
    rows = [row for batch in cloud.batches for row in batch.events]
    assert [row["ordinal"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert rows[0]["time"] == TRUE - 50_000
    assert all(abs(row["time"] - TRUE) <= 60_000 for row in rows)


def test_rows_that_were_sent_years_ahead_give_the_store_a_new_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud()
    monkeypatch.setattr(cloud, "ask_time", lambda: None)
    with BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        run(store, cloud, monkeypatch, [TRUE + 9 * YEAR], send=True)
        before = store.store_id
        cloud.known = True
        run(store, cloud, monkeypatch, [TRUE + 1000], send=True)
        assert store.store_id != before
        assert [one.time for _, one in store.latest(EXPOSURE, 9)] == sorted(
            one.time for _, one in store.latest(EXPOSURE, 9)
        )
        assert store.last_time <= TRUE + 1000
    sent = [(batch.store_id, batch.number, [row["ordinal"] for row in batch.events]) for batch in cloud.batches]
    assert sent == [(before, 0, [0]), (store.store_id, 0, [1])]
    assert cloud.batches[1].events[0]["time"] <= TRUE + 60_000


def test_a_server_with_a_slow_clock_gives_the_store_no_new_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, now = Cloud(), [TRUE]
    cloud.known = True
    monkeypatch.setattr(client_module, "now_ms", lambda: now[0])
    with BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        client = Client(store, cloud, None, config=ClientConfig(send_interval_ms=0))  # type: ignore[arg-type]
        ids = {store.store_id}
        for turn in range(10):
            now[0] += 1000
            cloud.time = now[0] - (90_000 if turn % 2 else 0)
            client.exposed(1, {"duration_s": 1.0})
            client.run_pending()
            ids.add(store.store_id)
        client.close()
    times = [row["time"] for batch in cloud.batches for row in batch.events]
    assert len(ids) == 1
    assert len(times) == 10
    assert times == sorted(times)
    assert all(abs(time - TRUE) <= 60_000 for time in times)
