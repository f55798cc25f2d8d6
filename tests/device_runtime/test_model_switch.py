"""A client changes its model version while it runs, and no item is scored with vectors of another version."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec import DeviceModel
from edgerec.core.errors import BusyError, SessionError, StoreError, TransportError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ActionColumns, ClientConfig
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.device_runtime.serving import ModelServing
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW
from tests.device_runtime.replayed import Clock
from tests.device_runtime.version_cloud import VersionCloud


class Device:
    """A user's device. `play` lets the user scroll."""

    def __init__(self, cloud: VersionCloud, path: Path, model: DeviceModel | None, **settings: Any) -> None:
        self.cloud, self.path, self.clock = cloud, path, Clock(1_000_000)
        self.store = BehaviourStore(path, user_id=3, limits=None if model is None else model.limits)
        self.ids = count(1)
        settings = {"page": 6, "fetch": 10, "prefetch": 1, "debounce_ms": 0, "send_interval_ms": 0, **settings}
        settings.setdefault("columns", ActionColumns(delete_reason="reason", purchase="bought"))
        self.client = Client(
            self.store,
            cloud,
            model,
            config=ClientConfig(**settings),
            clock=self.clock,
            new_id=lambda: next(self.ids),
            spec=next(iter(cloud.models.values())).spec,
        )
        self.ended: list[str | None] = []
        self.errors: list[str] = []
        self.client.context.update({"device": "phone", "battery": 0.5})

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self.errors += self.client.run_pending().errors

    def look(self, item_id: int) -> None:
        """See an item, and open every third one."""
        self.clock.now += 1000
        self.client.exposed(item_id, {"duration_s": item_id % 9 / 2})
        if item_id % 3 == 0:
            self.client.clicked(item_id)
            self.client.left_page(item_id, {"duration_s": item_id % 5, "bought": item_id % 2})

    def play(self, behaviours: int) -> None:
        """See so many items, one after the other, with all pending work after each."""
        self.client.refresh()
        self.run()
        seen = 0
        while behaviours:
            order = self.client.order()
            if seen >= len(order):
                self.client.refresh()
                self.run()
                seen = 0
                continue
            self.look(order[seen])
            seen, behaviours = seen + 1, behaviours - 1
            self.run()

    def switch(self, model: DeviceModel) -> None:
        self.client.switch_to(model, self.ended.append)

    def requests(self) -> list[dict[str, Any]]:
        self.client.close()
        return self.cloud.sent("requests")


@pytest.fixture(scope="module")
def bundles(bundle_path: Path, plus_path: Path) -> tuple[Path, Path]:
    return bundle_path, plus_path / "bundle"


@pytest.fixture
def cloud(bundles: tuple[Path, Path]) -> VersionCloud:
    return VersionCloud(*bundles)


@pytest.fixture
def models(cloud: VersionCloud) -> list[DeviceModel]:
    return list(cloud.models.values())


@pytest.fixture
def device(cloud: VersionCloud, models: list[DeviceModel], tmp_path: Path) -> Iterator[Device]:
    device = Device(cloud, tmp_path / "user.db", models[0])
    yield device
    device.store.close()


def scores_of_a_fresh_client(device: Device, row: dict[str, Any], model: DeviceModel) -> list[float]:
    """Return what a new client of `model` scores for a request, over the same raw history."""
    fresh = device.path.with_name("fresh.db")
    shutil.copy(device.path, fresh)
    with BehaviourStore(fresh, user_id=3, limits=model.limits) as store:
        for kind in BEHAVIOUR_KINDS:
            store.forget_encodings(kind)
            for ordinal, _ in store.latest(kind, 10**6):
                store._database.write(f"UPDATE {kind.name}s SET item_version = NULL WHERE ordinal = ?", (ordinal,))
        serving = ModelServing(model, store)
        while unknown := serving.unknown_items(100):
            serving.supply(device.cloud.of(model.version_id).items(model.version_id, unknown))
        while serving.encode_next():
            pass
        batch = device.cloud.of(model.version_id).items(model.version_id, row["item_id"])
        again = serving.items.offered_again(batch, {"score": row["score"]})
        assert again is not None
        prepared = serving.items.prepare(again)
        context = {"device": "phone", "battery": 0.5}
        return serving.score(prepared, context=context, time=row["time"]).tolist()


@pytest.mark.parametrize("behaviours", [0, 5, 40])
def test_after_the_switch_scores_are_those_of_a_fresh_client(
    device: Device, models: list[DeviceModel], behaviours: int
) -> None:
    """Behaviours recorded before, during and after the preparation count, and the unseen items are read anew."""
    old, new = models
    device.play(behaviours) if behaviours else device.client.refresh()
    device.run()
    device.switch(new)
    for item in device.client.order()[:3]:  # recorded while the new version is prepared, and encoded by both
        device.look(item)
        device.run()
    device.run(30)
    assert device.client.version_id == old.version_id
    assert not device.ended
    during = device.client.order()
    unseen_before = device.client.order()[3:]
    for item in during[3:]:
        if device.ended:
            break
        device.look(item)
        device.run()
    assert (device.ended, device.errors) == ([None], [])
    assert device.client.version_id == new.version_id
    order = device.client.order()
    assert set(unseen_before) <= set(order)  # no unseen item was lost
    device.client.request("after")
    device.run()
    rows = device.requests()
    device.store.close()
    assert [row["model_version"] for row in rows] == sorted(
        (row["model_version"] for row in rows), key=[old.version_id, new.version_id].index
    )
    row = rows[-1]
    assert (row["trigger"], row["outcome"], row["model_version"]) == ("after", "reordered", new.version_id)
    assert any(item in during for item in row["item_id"])  # an item of the old page, with vectors of the new version
    assert row["scores"] == scores_of_a_fresh_client(device, row, new)


def test_the_switched_store_is_that_of_the_new_version_after_a_restart(
    device: Device, models: list[DeviceModel], tmp_path: Path
) -> None:
    device.play(20)
    device.switch(models[1])
    device.run(30)
    device.client.refresh()  # nothing is recorded after the switch, so the whole window is what `adopt` has stored
    device.run()
    assert device.ended == [None]
    assert device.store.encoded_versions() == {models[1].version_id}
    device.client.close()
    device.store.close()
    again = Device(device.cloud, device.path, models[1])
    again.clock.now = device.clock.now
    asked = len(device.cloud.item_requests)
    again.client.refresh()
    again.run()
    again.client.request("again")
    again.run()
    assert len(device.cloud.item_requests) == asked  # nothing was to be encoded anew
    row = again.requests()[-1]
    again.store.close()
    assert row["scores"] == scores_of_a_fresh_client(again, row, models[1])


def test_a_behaviour_that_is_recorded_while_the_page_is_on_its_way_is_encoded_before_the_page_is_ranked(
    device: Device, models: list[DeviceModel]
) -> None:
    device.play(10)
    device.switch(models[1])
    device.run(30)

    def late(version: str | None) -> None:
        if version == models[1].version_id:
            device.cloud.on_page = lambda _: None
            device.look(device.client.order()[-1])

    device.cloud.on_page = late
    device.client.refresh()
    device.run()
    assert device.ended == [None]
    row = device.requests()[-1]
    assert (row["trigger"], row["outcome"]) == ("page", "reordered")
    assert row["exposures_end"] == 11
    device.store.close()
    assert row["scores"] == scores_of_a_fresh_client(device, row, models[1])


def test_a_device_without_a_model_gets_one(cloud: VersionCloud, models: list[DeviceModel], tmp_path: Path) -> None:
    device = Device(cloud, tmp_path / "user.db", None)
    device.play(15)
    device.switch(models[0])
    device.run(30)
    assert device.client.version_id is None
    device.play(10)
    assert device.client.version_id == models[0].version_id
    assert device.store.limits == models[0].limits
    device.client.request("after")
    device.run()
    rows = device.requests()
    device.store.close()
    assert rows[-1]["outcome"] == "reordered"
    assert rows[-1]["scores"] == scores_of_a_fresh_client(device, rows[-1], models[0])


def test_a_version_that_cannot_score_the_page_does_not_become_the_present_one(
    device: Device, models: list[DeviceModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    device.play(8)
    device.switch(models[1])
    device.run(30)
    score = DeviceRanker.score_cards

    def broken(ranker: DeviceRanker, *arguments: Any, **more: Any) -> Any:
        if ranker is models[1].ranker:
            raise SessionError("the model returned NaN")
        return score(ranker, *arguments, **more)

    monkeypatch.setattr(DeviceRanker, "score_cards", broken)
    device.client.refresh()
    device.run()
    assert device.ended == ["the model returned NaN"]
    assert device.client.version_id == models[0].version_id
    assert device.cloud.requests[-2:] == [models[1].version_id, models[0].version_id]  # at once, so the user has a page
    device.play(5)
    assert device.requests()[-1]["model_version"] == models[0].version_id
    assert device.store.encoded_versions() == {models[0].version_id}


def test_a_store_that_cannot_be_written_keeps_the_present_version(
    device: Device, models: list[DeviceModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    device.play(8)
    before = [device.store.window(kind, models[0].version_id, models[0].limits.of(kind)) for kind in BEHAVIOUR_KINDS]
    device.switch(models[1])
    device.run(30)
    execute, writes = device.store._database.execute, count()

    def full(sql: str, values: Any = ()) -> Any:
        if "_encodings" in sql and sql.startswith("INSERT") and next(writes) == 3:
            raise StoreError("the disk is full")
        return execute(sql, values)

    monkeypatch.setattr(device.store._database, "execute", full)
    device.client.refresh()
    device.run()
    monkeypatch.undo()
    assert device.ended == ["the disk is full"]
    after = [device.store.window(kind, models[0].version_id, models[0].limits.of(kind)) for kind in BEHAVIOUR_KINDS]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.ordinals, other.ordinals)
        np.testing.assert_array_equal(one.own_keys, other.own_keys)
        np.testing.assert_array_equal(one.ids, other.ids)
    device.play(5)
    assert device.requests()[-1]["outcome"] == "reordered"


def test_a_cloud_that_cannot_be_reached_delays_the_switch(device: Device, models: list[DeviceModel]) -> None:
    device.play(8)
    device.cloud.fault = "no network"
    device.switch(models[1])
    device.run(30)
    assert not device.ended
    assert device.client.version_id == models[0].version_id
    device.cloud.fault = None
    device.clock.now += 10**6
    device.run(30)
    device.clock.now += 10**6
    device.play(4)
    assert device.ended == [None]


def test_a_page_that_fails_with_the_new_version_comes_with_the_present_one(
    device: Device, models: list[DeviceModel]
) -> None:
    device.play(8)
    device.switch(models[1])
    device.run(30)

    def down(version: str | None) -> None:
        if version == models[1].version_id:
            raise TransportError("no answer")

    device.cloud.on_page = down
    device.client.refresh()
    for _ in range(4):
        device.run()
        device.clock.now += 2000
    assert models[0].version_id in device.cloud.requests[-2:]
    assert device.client.version_id == models[0].version_id
    device.cloud.on_page = lambda _: None
    device.clock.now += 10**6
    device.client.refresh()
    device.run()
    assert device.ended == [None]


def test_a_version_that_the_cloud_does_not_serve_is_given_up(device: Device, models: list[DeviceModel]) -> None:
    device.play(8)
    device.cloud.served.remove(models[1].version_id)
    device.switch(models[1])
    device.run(30)
    assert len(device.ended) == 1
    assert "is not served" in str(device.ended[0])
    device.play(3)
    assert device.client.version_id == models[0].version_id


def test_while_pages_of_its_version_get_503_a_device_shows_the_clouds_order(device: Device) -> None:
    def busy(version: str | None) -> None:
        if version is not None:
            raise BusyError("the embeddings cannot be read now", 2.0)

    device.cloud.on_page = busy
    device.client.refresh()
    device.run()
    assert device.cloud.requests[-1] is None
    offered = device.client.order()
    assert offered
    assert device.errors == ["the cloud's order is shown: the embeddings cannot be read now"]
    device.cloud.on_page = lambda version: None
    device.clock.now += 5000
    device.client.refresh()
    device.run()
    assert device.cloud.requests[-1] == device.client.version_id
    assert device.client.order() != offered


def test_a_device_that_asks_too_often_does_not_ask_again(device: Device) -> None:
    def limited(version: str | None) -> None:
        raise BusyError("too many requests", 2.0, limited=True)

    device.cloud.on_page = limited
    device.client.refresh()
    device.run(1)
    assert device.cloud.requests == [device.client.version_id]


def test_a_device_whose_version_is_retired_shows_the_cloud_s_order_and_then_switches(
    device: Device, models: list[DeviceModel]
) -> None:
    device.play(8)
    unserved: list[str] = []
    device.client.when_unserved(unserved.append)
    device.cloud.served.remove(models[0].version_id)
    device.client.refresh()
    device.run()
    assert device.cloud.requests[-1] is None
    assert unserved == [models[0].version_id]
    offered = device.client.order()
    for item in offered[:3]:
        device.look(item)
        device.run()
    assert device.client.order() == offered
    device.switch(models[1])
    device.run(30)
    for item in offered[3:]:
        device.look(item)
        device.run()
    assert device.ended == [None]
    assert set(device.errors) == {
        f"the cloud's order is shown: version '{models[0].version_id}' is not served; the served versions are: none"
    }
    device.client.request("after")
    device.run()
    rows = device.requests()
    device.store.close()
    why = {row["outcome"] for row in rows if row["model_version"] is None}
    assert why == {f"kept: the cloud does not serve the model version {models[0].version_id}"}
    assert rows[-1]["model_version"] == models[1].version_id
    assert rows[-1]["scores"] == scores_of_a_fresh_client(device, rows[-1], models[1])


def test_items_that_the_cloud_has_no_more_are_left_out(device: Device, models: list[DeviceModel]) -> None:
    device.play(10)
    gone = device.store.latest(EXPOSURE, 10)[4][1].item_id
    catalogue = dict(device.cloud._clouds[models[1].version_id]._catalogue)
    del catalogue[gone]
    device.cloud._clouds[models[1].version_id]._catalogue = catalogue
    device.switch(models[1])
    device.run(60)
    device.client.refresh()
    device.run()
    assert device.ended == [None]
    window = device.store.window(EXPOSURE, models[1].version_id, models[1].limits.exposures)
    assert 4 not in window.ordinals
    device.client.request("after")
    device.run()
    assert device.requests()[-1]["outcome"] == "reordered"


def test_a_second_switch_replaces_the_first(device: Device, models: list[DeviceModel]) -> None:
    device.play(5)
    device.switch(models[1])
    device.switch(models[1])
    assert device.ended == ["another model version is prepared now"]
    device.run(30)
    device.client.refresh()
    device.run()
    assert device.ended[1:] == [None]


@pytest.mark.parametrize("steps", [0, 30])
def test_a_switch_that_is_given_up_changes_nothing(device: Device, models: list[DeviceModel], steps: int) -> None:
    device.play(5)
    give_up = device.client.switch_to(models[1], device.ended.append)
    device.run(steps)
    give_up("not wanted any more")
    device.client.refresh()
    device.run(3)
    assert device.ended == ["not wanted any more"]
    assert set(device.cloud.requests) == {models[0].version_id}
    device.switch(models[1])
    device.run(30)
    device.client.refresh()
    device.run()
    assert device.client.version_id == models[1].version_id
    give_up("too late")
    device.play(3)
    assert device.ended == ["not wanted any more", None]


def test_a_switch_that_is_given_up_while_its_page_is_on_its_way_changes_nothing(
    device: Device, models: list[DeviceModel]
) -> None:
    device.play(5)
    give_up = device.client.switch_to(models[1], device.ended.append)
    device.run(30)

    def late(version: str | None) -> None:
        if version == models[1].version_id:
            give_up("not wanted any more")

    device.cloud.on_page = late
    device.client.refresh()
    device.run(3)
    assert device.ended == ["not wanted any more"]
    assert device.cloud.requests[-2:] == [models[1].version_id, models[0].version_id]
    assert device.client.version_id == models[0].version_id
    assert device.store.encoded_versions() == {models[0].version_id}


def test_what_the_application_raises_delays_no_page(
    device: Device, models: list[DeviceModel], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: str | None) -> None:
        raise RuntimeError("a fault of the application")

    device.play(5)
    device.client.when_unserved(fail)
    device.cloud.served.remove(models[0].version_id)
    device.client.refresh()
    device.run()
    assert device.cloud.requests[-1] is None
    device.client.switch_to(models[1], fail)
    device.run(30)
    device.client.refresh()
    device.run()
    assert device.client.version_id == models[1].version_id
    assert device.client.order()
    assert {record.getMessage() for record in caplog.records} >= {"`when_unserved` failed", "`on_end` failed"}


def test_worker_threads_switch(cloud: VersionCloud, models: list[DeviceModel], tmp_path: Path) -> None:
    device = Device(cloud, tmp_path / "user.db", models[0], retry_first_ms=1)
    device.play(30)
    device.client.start()
    device.switch(models[1])
    for _ in range(200):
        device.client.refresh()
        assert device.client.wait(10)
        device.look(device.client.order()[0])
        if device.ended:
            break
    assert device.ended == [None]
    device.client.request("after")
    assert device.client.wait(10)
    row = device.requests()[-1]
    device.store.close()
    assert row["model_version"] == models[1].version_id
    assert row["scores"] == scores_of_a_fresh_client(device, row, models[1])


def test_pruning_keeps_what_the_next_version_needs(device: Device, models: list[DeviceModel]) -> None:
    device.play(60)
    device.client.close()
    limits = models[0].limits.model_copy(update={"exposures": 25})
    device.store.retention = type(device.store.retention)(rows=1)
    device.store.keep_for(limits)
    device.store.prune(device.clock.now)
    assert len(device.store.latest(EXPOSURE, 100)) == 50
    device.store.keep_for(None)
    device.store.prune(device.clock.now)
    assert len(device.store.latest(EXPOSURE, 100)) == 16
    assert device.store.next_ordinal(PAGE_VIEW) > 0
