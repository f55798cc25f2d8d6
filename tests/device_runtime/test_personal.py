"""Patches in the client: when they are trained, what they change, what is logged, and what gives them up."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec import ClientConfig, DeviceModel, load_device_model
from edgerec.core.errors import ConfigurationError, StoreError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.mixing import FeedMixing
from edgerec.device_runtime.personal import training
from edgerec.device_runtime.ranker import Scored
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.retention import DAY_MS
from edgerec.device_runtime.store.rows import PatchState
from edgerec.features.behaviours import EXPOSURE
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.learning import Learnt
from edgerec.personalization.patch import Patch
from tests.device_runtime.local_cloud import LocalCloud, read_tables
from tests.device_runtime.mixed_feed import MixedApp, mixed_model, opened
from tests.device_runtime.personal_app import IDLE, INTERVAL, PersonalApp, head_of, own_logits
from tests.device_runtime.test_client import ITEMS
from tests.device_runtime.test_model_switch import Device
from tests.device_runtime.version_cloud import VersionCloud


@pytest.fixture(scope="module")
def parts(personal_path: Path) -> tuple[DeviceModel, dict[str, Any]]:
    return load_device_model(personal_path), read_tables(personal_path)


@pytest.fixture
def new_app(parts: tuple[DeviceModel, dict[str, Any]], tmp_path: Path) -> Iterator[Callable[..., PersonalApp]]:
    """Return a function that makes applications: the name of the store, and settings of the head."""
    model, tables = parts
    stores: list[BehaviourStore] = []

    def make(name: str = "user", **head: Any) -> PersonalApp:
        cloud = LocalCloud(model.spec, model.version_id, tables, ITEMS)
        cloud.complete = False
        stores.append(BehaviourStore(tmp_path / f"{name}.db", user_id=3, limits=model.limits))
        return PersonalApp(replace(model, personal=head_of(model, **head)), cloud, stores[-1])

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def app(new_app: Callable[..., PersonalApp]) -> PersonalApp:
    return new_app()


def with_patch(app: PersonalApp, **settings: Any) -> Client:
    """Return a client that has trained a patch and shows a page."""
    client = app.start(**settings)
    app.browse(client)
    assert app.rest(client) == 1
    assert client.patch is not None
    return client


def test_a_patch_is_trained_when_the_user_is_idle_and_changes_the_next_order(
    app: PersonalApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.spy(monkeypatch)
    client = app.start()
    app.browse(client)
    assert app.rest(client, IDLE - 1) == 0
    assert client.patch is None
    assert app.rest(client, 1) == 1
    patch, before = client.patch, len(app.ranked)
    assert patch is not None
    assert (patch.user_id, patch.version_id, patch.events) == (3, app.model.version_id, 18)
    assert patch.time == app.clock.now
    assert np.abs(patch.theta).max() > 0.1
    client.request("now")
    client.run_pending()
    order = client.order()
    ((scored, own),) = app.ranked[before:]
    expected = own_logits(app.head, patch.theta, scored)
    np.testing.assert_allclose(own.scored.logits, expected, rtol=1e-6, atol=1e-6)
    row = app.requests(client)[-1]
    assert row["positions"] == np.argsort(-expected, kind="stable").tolist()
    assert row["positions"] != np.argsort(-scored.logits, kind="stable").tolist()
    assert order[:6] == [row["item_id"][position] for position in row["positions"]][:6]
    assert row["scores"] == scored.logits.tolist()
    assert (row["personal"], row["outcome"]) == (True, "reordered")


def test_a_patch_moves_what_the_user_clicks_forward(app: PersonalApp) -> None:
    client = app.start()
    app.browse(client, 8, likes=lambda item: ITEMS[item]["level"] == 1)
    assert app.rest(client) == 1
    client.request("now")
    client.run_pending()
    row = app.requests(client)[-1]
    liked = np.array([ITEMS[item]["level"] == 1 for item in row["item_id"]])
    shared = np.argsort(-np.array(row["scores"]), kind="stable")
    assert np.flatnonzero(liked[row["positions"]]).mean() < np.flatnonzero(liked[shared]).mean() - 1


def test_nothing_of_a_patch_is_in_the_log_rows(new_app: Callable[..., PersonalApp]) -> None:
    app, shared = new_app(), new_app("shared")
    client, other = with_patch(app), shared.start(personal=False)
    shared.browse(other)
    client.request("now")
    client.run_pending()
    patch = client.patch
    assert patch is not None
    rows, plain = app.requests(client), shared.requests(other)
    assert [row.pop("personal") for row in rows] == [False] * 4 + [True]
    assert {tuple(row) for row in rows} == {tuple(row) for row in plain}
    # Up to the patch, both users did the same, so the scores are the same: those of the shared model.
    assert [row["scores"] for row in rows[:4]] == [row["scores"] for row in plain]
    text = json.dumps([app.cloud.sent("events"), rows])
    assert str(rows[0]["scores"][0]) in text
    for number in patch.theta.tolist():
        assert str(number) not in text
        assert str(number)[:8] not in text


def test_a_patch_is_not_trained_again_before_the_interval_or_without_new_events(app: PersonalApp) -> None:
    client = with_patch(app)
    trained = app.clock.now
    assert app.rest(client, 10 * INTERVAL) == 0
    app.browse(client, 1)
    assert app.rest(client) == 1
    assert app.state.time == app.clock.now > trained + INTERVAL
    trained = app.clock.now
    app.browse(client, 2)
    assert app.rest(client) == 0
    assert app.rest(client, trained + INTERVAL - app.clock.now - 1) == 0
    assert app.rest(client, 1) == 1
    assert (app.state.rollbacks, client.patch is not None) == (0, True)


def test_a_patch_is_trained_when_the_client_closes(app: PersonalApp) -> None:
    client = app.start()
    app.browse(client, 2)
    item = client.order()[0]
    app.see(client, item, click=True)
    client.close()
    assert app.state.outcome == "trained"
    assert (app.state.patch is not None, app.state.time) == (True, app.clock.now)
    # The page that was shown when the client closed counts, too.
    events = app.store.personal.events(app.model.version_id)
    assert events is not None
    assert (len(events), events.request_count) == (13, 3)
    again = app.start()
    assert again.patch is not None
    np.testing.assert_array_equal(again.patch.theta, app.state.patch.theta)
    app.browse(again, 1)
    again.close()
    assert app.state.through == 3  # the interval is not over


def test_a_new_client_does_not_train_while_the_user_has_just_come(app: PersonalApp) -> None:
    client = app.start(personal_interval_ms=0)
    app.browse(client, 2)
    app.store._requests.end_all_pages()
    client = app.start()
    assert client.run_pending().trained == 0
    assert app.rest(client, IDLE - 1) == 0
    assert app.rest(client, 1) == 1


def test_events_are_what_the_user_has_seen_and_clicked(app: PersonalApp, monkeypatch: pytest.MonkeyPatch) -> None:
    app.spy(monkeypatch)
    client = app.start(triggers=("click",))
    order = app.next_page(client)
    app.see(client, order[0], click=False)
    app.see(client, order[1], click=True)
    assert client.run_pending().requests == ("click",)
    again = client.order()
    app.see(client, again[2], click=True)
    app.see(client, again[3], click=False)
    client.run_pending()
    app.next_page(client)
    events = app.store.personal.events(app.model.version_id)
    rows = [row for row in app.requests(client) if row["page_id"] == 1]
    assert events is not None
    assert len(rows) == 3
    expected = {}
    for (_, own), row in zip(app.ranked, rows, strict=False):
        for place, (item, label) in enumerate(zip(row["item_id"], row["clicked"], strict=True)):
            if label is not None:
                assert own.phi is not None
                expected[item] = (own.phi[place], np.float32(row["scores"][place]), label)
    assert set(expected) == {order[0], order[1], again[2], again[3]}
    phi, logits, labels = (np.array(part, np.float32) for part in zip(*expected.values(), strict=True))
    np.testing.assert_array_equal(events.phi, phi)
    np.testing.assert_array_equal(events.logits, logits)
    np.testing.assert_array_equal(events.labels, labels)
    assert sorted(labels.tolist()) == [0, 0, 1, 1]


def test_worker_threads_train_and_a_reset_in_between_makes_the_result_void(
    app: PersonalApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning, go_on, trained = threading.Event(), threading.Event(), []
    learn = training.learn

    def slow(*arguments: Any, **more: Any) -> Any:
        learning.set()
        assert go_on.wait(20)
        trained.append(learn(*arguments, **more))
        return trained[-1]

    monkeypatch.setattr(training, "learn", slow)
    client = app.start(triggers=("early_click",))
    app.browse(client)
    client.start()

    def to_the_training() -> None:
        learning.clear()
        go_on.clear()
        with client._lock:
            app.clock.now += IDLE + INTERVAL
            client._lock.notify_all()
        assert learning.wait(20)

    to_the_training()
    # The application goes on: nothing waits for the training but the work of its thread.
    item = client.order()[0]
    app.see(client, item, click=True)
    assert client.patch is None
    client.reset_patch()
    go_on.set()
    assert client.wait(20)
    assert trained[0].theta is not None
    assert client.patch is None
    assert app.store.personal.state(app.model.version_id) is None
    assert app.store.personal.events(app.model.version_id) is None
    app.offer(*range(100, 110))
    client.refresh()
    assert client.wait(20)
    app.offer(*range(110, 120))
    app.offer(*range(120, 130))
    for item in client.order():
        app.see(client, item, click=item % 2 == 0)
        assert client.wait(20)
    client.refresh()
    assert client.wait(20)
    to_the_training()
    before, requests = app.store.next_ordinal(EXPOSURE), app.store.measure()["rows"]["open_requests"]
    app.see(client, client.order()[0], click=True)
    end = time.monotonic() + 20
    while app.store.measure()["rows"]["open_requests"] == requests and time.monotonic() < end:
        time.sleep(0.01)
    go_on.set()
    assert client.wait(20)
    assert app.store.next_ordinal(EXPOSURE) == before + 1
    assert client.patch is not None
    np.testing.assert_array_equal(client.patch.theta, trained[1].theta)
    client.close()
    rows = app.cloud.sent("requests")
    # The click during the training has triggered a re-rank, which did not wait for the new patch.
    assert (rows[-1]["trigger"], rows[-1]["personal"]) == ("early_click", False)


def test_a_client_made_while_the_clock_was_ahead_trains_nevertheless(app: PersonalApp) -> None:
    right = app.clock.now
    app.clock.now = right + 365 * DAY_MS
    client = app.start()
    app.clock.now = right
    app.browse(client)
    assert app.rest(client, INTERVAL) == 1


def test_a_training_while_the_clock_was_ahead_does_not_delay_later_ones(app: PersonalApp) -> None:
    client = app.start()
    app.browse(client)
    right = app.clock.now
    app.clock.now += 20 * DAY_MS
    assert client.run_pending().trained == 1
    app.clock.now = right + 1000
    app.browse(client, 2)
    assert app.rest(client, INTERVAL) == 1
    client.close()
    app.clock.now += INTERVAL
    again = app.start()
    app.browse(again, 2)
    assert app.rest(again, INTERVAL) == 1


def test_a_fault_of_the_patch_does_not_cost_the_rerank(app: PersonalApp, monkeypatch: pytest.MonkeyPatch) -> None:
    client = with_patch(app)
    monkeypatch.setattr(Patch, "logits", lambda *_: 1 / 0)
    client.request("now")
    client.run_pending()
    row = app.requests(client)[-1]
    assert (row["outcome"], row["personal"]) == ("reordered", False)
    assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()


def test_a_patch_that_is_given_up_ranks_no_more_although_the_disk_is_full(
    new_app: Callable[..., PersonalApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app()
    client = with_patch(app, personal_interval_ms=0)

    def refuse(_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(training, "learn", lambda *_, **__: Learnt(None, 0, "rolled back", 1))
    monkeypatch.setattr(app.store.personal, "write", refuse)
    app.browse(client, 2)
    app.clock.now += IDLE
    assert client.run_pending().errors == ("the patch of the user cannot be trained: the disk is full",)
    assert client.patch is None


def test_without_knowing_whose_patches_are_stored_none_is_used(
    app: PersonalApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_patch(app).close()

    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(app.store.personal, "keep_only", refuse)
    client = app.start()
    assert client.patch is None
    assert "so none is used: the disk is full" in caplog.text


def test_a_client_with_patches_does_not_explore() -> None:
    with pytest.raises(ConfigurationError, match="`explore` should be 0 if `personal` is true"):
        ClientConfig(personal=True, explore=0.1)


def test_a_patch_that_the_gate_rejects_is_not_used(new_app: Callable[..., PersonalApp]) -> None:
    app = new_app(gain=-0.1)
    client = app.start()
    app.browse(client)
    assert app.rest(client) == 1
    assert client.patch is None
    assert (app.state.patch, app.state.outcome, app.state.rollbacks) == (None, "rejected", 0)
    client.request("now")
    client.run_pending()
    row = app.requests(client)[-1]
    assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()
    assert row["personal"] is False


def test_a_patch_that_is_worse_on_new_pages_is_rolled_back(new_app: Callable[..., PersonalApp]) -> None:
    app = new_app(gain=0.001, gain_events=1, pull=0.1)
    client = app.start(personal_interval_ms=0)
    app.browse(client, 6, likes=lambda item: ITEMS[item]["level"] == 1)
    assert app.rest(client) == 1
    assert client.patch is not None
    old = client.patch.theta
    app.browse(client, 3, likes=lambda item: ITEMS[item]["level"] != 1)
    assert app.rest(client) == 1
    assert app.state.rollbacks == 1
    assert client.patch is None or not np.array_equal(client.patch.theta, old)
    assert ("rolled back" in app.state.outcome) == (client.patch is None)


def test_a_training_without_time_is_given_up_and_the_patch_in_use_stays(app: PersonalApp) -> None:
    client = with_patch(app)
    client.close()
    patch = client.patch
    again = app.start(personal_budget_ms=0, personal_interval_ms=0)
    app.browse(again, 2)
    assert app.rest(again) == 1
    assert "takes longer than its budget" in app.state.outcome
    for kept in (again.patch, app.state.patch):
        assert kept is not None
        assert kept.theta.tobytes() == patch.theta.tobytes()
        assert (kept.time, kept.events) == (patch.time, patch.events)
    assert app.state.time == app.clock.now > patch.time


def test_a_training_that_fails_unexpectedly_leaves_the_patch_in_use(
    app: PersonalApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_patch(app, personal_interval_ms=0)
    patch = client.patch

    def singular(*_: Any, **__: Any) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(training, "learn", singular)
    app.browse(client, 1)
    app.clock.now += IDLE
    done = client.run_pending()
    assert (done.trained, done.errors) == (0, ("the patch of the user cannot be trained: Singular matrix",))
    assert client.patch is patch
    assert client.run_pending().errors == ()


def test_a_client_of_another_version_deletes_patch_and_events(app: PersonalApp) -> None:
    old = app.model
    client = with_patch(app)
    client.close()
    app.model = app.cloud.version_id = None  # type: ignore[assignment]
    other = replace(old, version_id="another-version")
    app.model = replace(other, personal=head_of(other))
    app.cloud.version_id = "another-version"
    client = app.start()
    assert client.patch is None
    assert app.store.personal.versions() == []
    app.browse(client)
    assert app.rest(client) == 1
    assert client.patch is not None
    assert client.patch.version_id == "another-version"
    client.close()
    app.model, app.cloud.version_id = old, old.version_id
    client = app.start()
    assert (client.patch, app.store.personal.versions()) == (None, [])


@pytest.mark.parametrize("rank", [5, 3])
def test_a_patch_of_another_head_of_the_same_version_is_not_used(app: PersonalApp, rank: int) -> None:
    with_patch(app).close()
    head, rng = app.head, np.random.default_rng(5)
    new = {name: getattr(head, name)[: rank + 1] for name in ("start", "rates", "pull")}
    kernel = rng.normal(size=(head.inputs, rank)).astype(np.float32)
    app.model = replace(app.model, personal=replace(head, kernel=kernel, **new))
    client = app.start()
    assert client.patch is None
    assert app.store.personal.versions() == []
    app.browse(client)
    assert app.rest(client) == 1
    assert client.patch is not None
    client.close()
    # The head of the same file is the same.
    app.model = replace(app.model, personal=PersonalHead.from_bytes(app.head.to_bytes()))
    assert app.start().patch is not None


def test_a_reset_forgets_everything_and_a_new_patch_is_trained(app: PersonalApp) -> None:
    client = with_patch(app)
    client.reset_patch()
    assert client.patch is None
    assert app.store.personal.versions() == []
    client.request("now")
    client.run_pending()
    assert app.rest(client, 10 * INTERVAL) == 0
    app.browse(client, 2)
    assert app.rest(client) == 1
    assert client.patch is not None
    assert client.patch.events == 12
    rows = app.requests(client)
    assert [row["personal"] for row in rows if row["trigger"] == "now"] == [False]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("theta = x'0000803f'", "6 float32 numbers"),
        ("theta = x'00'", "damaged"),
        (f"theta = x'{'00' * 20}0000c07f'", "NaN"),
        (f"theta = x'{'00' * 20}0000807f'", "NaN or infinity"),
        (f"theta = x'{'00' * 20}7fff7f4f'", "within the reach"),
        ("theta = 7", "damaged"),
        ("user_id = 4", "one of user 4"),
    ],
)
def test_a_damaged_patch_is_not_used(
    app: PersonalApp, caplog: pytest.LogCaptureFixture, change: str, reason: str
) -> None:
    client = with_patch(app)
    client.close()
    behaviours = app.store.next_ordinal(EXPOSURE)
    app.store._database.write(f"UPDATE patches SET {change}")
    path = app.store._database.path
    app.store.close()
    # The checksum of the row is right, so the store opens. The patch is checked for itself.
    with BehaviourStore(path, user_id=3, limits=app.model.limits) as app.store, caplog.at_level(logging.WARNING):
        caplog.clear()
        client = app.start(personal_interval_ms=0)
        assert client.patch is None
        assert app.store.next_ordinal(EXPOSURE) == behaviours
        app.next_page(client)
        client.request("now")
        assert client.run_pending().requests == ("now",)
        (warning,) = caplog.messages
        assert warning.startswith("the patch of the user is not used")
        assert warning.endswith("the shared model is")
        assert reason in warning
        app.browse(client, 1)
        assert app.rest(client) == 1
        assert (client.patch is not None, app.state.outcome) == (True, "trained")
        rows = app.requests(client)
        row = next(row for row in rows if row["trigger"] == "now")
        assert row["personal"] is False
        assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()


def test_a_patch_of_another_model_in_the_row_is_not_used(app: PersonalApp) -> None:
    client = with_patch(app)
    client.close()
    app.store._database.write("UPDATE patches SET version_id = 'another'")
    assert app.start().patch is None
    assert app.store.personal.counts()[app.model.version_id][1] == 18


def test_a_damaged_event_stops_the_training_and_nothing_else(app: PersonalApp) -> None:
    client = with_patch(app)
    app.store._database.write("UPDATE personal_events SET labels = x'020202020202' WHERE sequence = 1")
    app.browse(client, 1)
    app.clock.now += INTERVAL
    done = client.run_pending()
    (error,) = done.errors
    assert "the patch of the user cannot be trained" in error
    assert "edgerec personalize reset" in error
    assert client.patch is not None
    client.reset_patch()
    app.browse(client, 1)
    assert app.rest(client) == 1


def test_without_a_head_nothing_happens(app: PersonalApp) -> None:
    app.model = replace(app.model, personal=None)
    client = app.start()
    app.browse(client)
    assert app.rest(client, 10 * INTERVAL) == 0
    assert client.patch is None
    assert app.store._database.rows("SELECT phi FROM open_requests") == [(None,)]
    assert app.store.personal.versions() == []
    assert all("personal" not in row for row in app.requests(client))


def test_switched_off_a_patch_is_neither_read_nor_used(app: PersonalApp) -> None:
    client = with_patch(app)
    client.close()
    theta, statements = app.state.patch.theta, []
    app.store._database._connection.set_trace_callback(statements.append)
    client = app.start(personal=False)
    app.browse(client)
    assert app.rest(client, 10 * INTERVAL) == 0
    client.close()
    app.store._database._connection.set_trace_callback(None)
    assert statements
    used = [each for each in statements if "patches" in each or "INTO personal_events" in each]
    assert [each for each in used if not each.startswith("DELETE FROM patches WHERE time <")] == []  # retention
    rows = [row for row in app.cloud.sent("requests") if "personal" not in row]
    assert len(rows) == 4
    for row in rows:
        assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()
    again = app.start().patch
    assert again is not None
    np.testing.assert_array_equal(again.theta, theta)


def test_in_shadow_mode_patches_are_trained_and_the_order_stays(app: PersonalApp) -> None:
    client = with_patch(app, shadow=True)
    before = client.order()
    client.request("now")
    client.run_pending()
    assert client.order() == before
    row = app.requests(client)[-1]
    assert (row["outcome"], row["personal"]) == ("shadow", True)
    assert row["positions"] != np.argsort(-np.array(row["scores"]), kind="stable").tolist()


def test_numbers_that_are_not_finite_give_the_order_of_the_shared_model(
    app: PersonalApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_patch(app)
    assert client.patch is not None
    client._personal.patch = replace(client.patch, theta=np.full_like(client.patch.theta, 3e38))
    with np.errstate(over="ignore", invalid="ignore"):
        client.request("patch")
        client.run_pending()
    client._personal.patch = replace(client.patch, theta=np.zeros_like(client.patch.theta))
    monkeypatch.setattr(PersonalHead, "read", lambda head, given: np.full((len(given), head.rank), np.nan, np.float32))
    client.request("phi")
    client.run_pending()
    rows = app.requests(client)[-2:]
    assert [(row["trigger"], row["outcome"], row["personal"]) for row in rows] == [
        ("patch", "reordered", False),
        ("phi", "reordered", False),
    ]
    for row in rows:
        assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()


def test_a_switch_to_another_version_deletes_patch_and_events(
    personal_path: Path, plus_path: Path, tmp_path: Path
) -> None:
    cloud = VersionCloud(personal_path, plus_path / "bundle")
    first, second = cloud.models.values()
    own = replace(first, personal=head_of(first))
    device = Device(cloud, tmp_path / "user.db", own, personal=True, kept_pages=1, personal_budget_ms=60_000)
    with device.store as store:
        device.play(20)
        device.clock.now += IDLE
        assert device.client.run_pending().trained == 1
        assert device.client.patch is not None
        device.switch(second)
        while not device.ended:
            device.play(6)
        assert device.ended == [None]
        assert device.client.version_id == second.version_id
        assert device.client.patch is None
        device.play(20)
        device.clock.now += IDLE + INTERVAL
        assert device.client.run_pending().trained == 0
        rows = device.requests()
        assert store.personal.versions() == []
    assert {row.get("personal") for row in rows if row["model_version"] == first.version_id} == {False, True}
    assert all("personal" not in row for row in rows if row["model_version"] == second.version_id)
    assert any(row["model_version"] == second.version_id for row in rows)


def test_a_mixed_feed_gets_the_logits_of_the_user(
    parts: tuple[DeviceModel, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tables = parts
    model = replace(mixed_model(model), personal=head_of(model))
    mix, mixed = FeedMixing.mix, []

    def noted(mixing: FeedMixing, page: Any, rows: Any, answer: Any, scored: Scored, time: int) -> Any:
        mixed.append((list(answer), scored))
        return mix(mixing, page, rows, answer, scored, time)

    monkeypatch.setattr(FeedMixing, "mix", noted)
    theta = np.linspace(-2, 2, 6, dtype=np.float32)
    assert model.personal is not None
    with BehaviourStore(tmp_path / "user.db", user_id=3, limits=model.limits) as store:
        store.personal.keep_only(model.version_id, model.personal.head_id)
        store.personal.write(PatchState(model.version_id, Patch(3, model.version_id, theta, 9, 5), 5, 0, "trained"))
        app = MixedApp(model, store, tables)
        row = app.requests(opened(app, personal=True))[-1]
    ((answer, scored),) = mixed
    shared = replace(scored, logits=np.array(row["scores"], np.float32))
    np.testing.assert_allclose(scored.logits, own_logits(model.personal, theta, shared), rtol=1e-6, atol=1e-6)
    assert np.abs(scored.logits - shared.logits).max() > 0.1
    assert answer == np.argsort(-scored.logits, kind="stable").tolist()
    assert (row["outcome"], row["personal"]) == ("mixed", True)
