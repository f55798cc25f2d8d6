"""Client Native: triggers, pages, partial values, outcomes, and the rows that it logs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec import DeviceModel, load_device_model
from edgerec.cloud.log_rows import LogTables
from edgerec.core.errors import ConfigurationError, SpecificationError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ActionColumns, ClientConfig
from edgerec.device_runtime.device_work import MOST_ASKED
from edgerec.device_runtime.exploration import random_number
from edgerec.device_runtime.partial_values import MOST_ITEMS
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from tests.device_runtime.local_cloud import LocalCloud, read_tables
from tests.device_runtime.replayed import Clock

ITEMS = {item: {"shop": item % 7, "level": item % 3 + 1} for item in range(100, 160)}
START = 1_000_000


@dataclass
class App:
    """An application with one user. `start` makes a client."""

    model: DeviceModel
    cloud: LocalCloud
    store: BehaviourStore
    clock: Clock = field(default_factory=lambda: Clock(START))
    orders: list[list[int]] = field(default_factory=list)
    pages: Iterator[int] = field(default_factory=lambda: count(1))

    def start(self, *, model: bool = True, draw: Callable[[], float] = random_number, **settings: Any) -> Client:
        settings = {"page": 6, "fetch": 10, "prefetch": 1, "debounce_ms": 0, "send_interval_ms": 10**12, **settings}
        settings.setdefault("columns", ActionColumns(delete_reason="reason", purchase="bought"))
        return Client(
            self.store,
            self.cloud,
            self.model if model else None,
            config=ClientConfig(**settings),
            clock=self.clock,
            on_order=self.orders.append,
            draw=draw,
            spec=self.model.spec,
        )

    def offer(self, *items: int) -> None:
        """Let the cloud return a page of these items next."""
        scores = [float(np.sin(item)) for item in items]
        self.cloud.lists.append((next(self.pages), items, {"score": scores}))

    def requests(self, client: Client) -> list[dict[str, Any]]:
        """Close the client and return the rows of requests that it delivered."""
        client.close()
        return self.cloud.sent("requests")


@pytest.fixture(scope="module")
def parts(bundle_path: Path) -> tuple[DeviceModel, dict[str, Any]]:
    return load_device_model(bundle_path), read_tables(bundle_path)


@pytest.fixture
def app(parts: tuple[DeviceModel, dict[str, Any]], tmp_path: Path) -> Iterator[App]:
    model, tables = parts
    with BehaviourStore(tmp_path / "user.db", user_id=3, limits=model.limits) as store:
        cloud = LocalCloud(model.spec, model.version_id, tables, ITEMS)
        cloud.complete = False
        yield App(model, cloud, store)


def seen(**values: Any) -> dict[str, Any]:
    return {"duration_s": 2.0, **values}


def test_a_page_is_ranked_when_it_arrives(app: App) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    done = client.run_pending()
    assert (done.pages, done.requests, done.errors) == (1, ("page",), ())
    assert len(client.order()) == 6
    assert app.orders == [client.order()]
    row = app.requests(client)[0]
    assert (row["trigger"], row["outcome"], row["model_version"]) == ("page", "reordered", app.model.version_id)
    assert row["item_id"] == list(range(100, 110))
    assert [row["item_id"][position] for position in row["positions"]][:6] == app.orders[0]
    assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()
    assert row["clicked"] == [None] * 10


def test_only_what_the_user_has_not_seen_moves(app: App) -> None:
    client = app.start(triggers=("early_click",))
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    for position in range(3):
        before = client.order()
        client.exposed(before[position], seen())
        client.clicked(before[position])
        assert client.run_pending().requests == ("early_click",)
        assert client.order()[: position + 1] == before[: position + 1]
        client.left_page(before[position], {"duration_s": 5.0})
    rows = app.requests(client)
    assert [len(row["item_id"]) for row in rows] == [10, 9, 8, 7]
    clicked = dict(zip(rows[0]["item_id"], rows[0]["clicked"], strict=True))
    assert sorted(one for one in clicked.values() if one is not None) == [1, 1, 1]


def test_labels_say_what_was_exposed_and_clicked_after_the_request(app: App) -> None:
    client = app.start(triggers=("exposures",), exposures_without_click=2)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    for position in range(4):
        app.clock.now += 1000
        client.exposed(client.order()[position], seen())
        client.run_pending()
    client.clicked(client.order()[3])
    order = client.order()
    first, second, third = app.requests(client)
    for row, exposed in ((first, order[:4]), (second, order[2:4]), (third, [])):
        label = dict(zip(row["item_id"], row["clicked"], strict=True))
        assert {item for item, one in label.items() if one is not None} == set(exposed)
        assert {item for item, one in label.items() if one} == ({order[3]} & set(exposed))
    assert (second["exposures_end"], second["page_views_end"]) == (2, 0)


def test_triggers_fire_with_their_reasons(app: App) -> None:
    client = app.start(exposures_without_click=3)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    order, reasons = client.order(), []

    def settle() -> None:
        app.clock.now += 1000
        reasons.append(client.run_pending().requests)

    client.clicked(order[0])
    settle()
    client.left_page(order[0], {"duration_s": 3.0})
    settle()
    client.deleted(order[0], "bad")
    settle()
    client.exposed(order[0], seen())
    settle()
    for item in client.order()[1:4]:
        client.exposed(item, seen())
        settle()
    client.left_page(155, {"duration_s": 3.0})  # opened by search
    settle()
    assert reasons == [(), ("click",), (), ("delete",), (), (), ("exposures",), ()]


def test_a_page_that_is_never_left_triggers_after_a_time(app: App) -> None:
    client = app.start(page_timeout_ms=5000)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    client.clicked(client.order()[0])
    app.clock.now += 4999
    assert client.run_pending().requests == ()
    app.clock.now += 1
    assert client.run_pending().requests == ("click",)
    assert client.run_pending().requests == ()


def test_triggers_are_debounced_and_requests_of_the_application_are_not(app: App) -> None:
    client = app.start(triggers=("early_click", "delete"), debounce_ms=300)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    client.clicked(client.order()[0])
    assert client.run_pending().requests == ("early_click",)
    client.clicked(client.order()[1])
    client.exposed(client.order()[1], seen(reason="bad"))
    client.request("tab")
    app.clock.now += 299
    assert client.run_pending().requests == ("tab",)
    app.clock.now += 1
    assert client.run_pending().requests == ("early_click",)
    assert client.run_pending().requests == ()


def test_an_application_adds_its_own_trigger(app: App) -> None:
    bought = ClientConfig(
        triggers=("bought",), own_triggers={"bought": lambda event, config: bool(event.values.get("bought"))}
    )
    client = app.start(triggers=bought.triggers, own_triggers=bought.own_triggers)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    for buys in (False, True):
        item = client.order()[int(buys)]
        client.clicked(item)
        if buys:
            client.purchased(item)
        client.left_page(item, {"duration_s": 3.0})
        assert client.run_pending().requests == (("bought",) if buys else ())


def test_partial_values_become_values_of_the_behaviour(app: App) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    item = client.order()[0]
    client.scrolled(item, 2.0, 1.0)  # the specification does not read scrolls
    client.deleted(item, "seen")
    client.exposed(item, seen())
    client.exposed(item, seen())
    client.clicked(item)
    client.acted(item, "bought", 0)
    client.purchased(item)
    client.left_page(item, {"duration_s": np.float32(3.0)})
    client.left_page(item)
    client.close()
    events = app.cloud.sent("events")
    score, names = float(np.sin(item)), ("kind", "duration_s", "reason", "bought", "score")
    assert [tuple(row.get(name) for name in names) for row in events] == [
        ("exposure", 2.0, "seen", None, score),
        ("exposure", 2.0, None, None, score),
        ("page_view", 3.0, None, 1, score),
        ("page_view", None, None, None, None),
    ]  # fmt: skip
    assert [row["opened_from"] for row in events] == [None, None, "feed", "search"]
    assert [row["ordinal"] for row in events] == [0, 1, 0, 1]


def test_scrolls_are_summed(app: App) -> None:
    client = Client(app.store, app.cloud, None, clock=app.clock)
    client.scrolled(100, 2.0, 1.0)
    client.scrolled(100, 0.5, 3.0)
    client.exposed(100, {"anything": 1})
    client.close()
    (row,) = app.cloud.sent("events")
    assert (row["scroll_count"], row["scroll_duration_s"], row["scroll_speed"]) == (2, 4.0, 3.5 / 4)
    assert row["anything"] == 1


def test_wrong_values_are_errors_and_nothing_is_recorded(app: App) -> None:
    client = app.start()
    for values, message in (
        (seen(durations=1), "unknown column 'durations'; the specification reads duration_s, reason"),
        (seen(duration_s="long"), "feature duration .* reads numbers"),
        (seen(duration_s=float("nan")), "NaN"),
    ):
        with pytest.raises(SpecificationError, match=message):
            client.exposed(100, values)
    with pytest.raises(SpecificationError, match="unknown column 'reason'"):
        client.acted(100, "reason")
    with pytest.raises(SpecificationError, match="reads numbers"):
        client.acted(100, "bought", "yes")
    with pytest.raises(SpecificationError, match=r"values of exposures should be a mapping, .* received NoneType"):
        client.exposed(100, None)
    for speed, duration in ((float("nan"), 1.0), (1.0, float("inf")), ("fast", 1.0), (1.0, 10**400)):
        with pytest.raises(SpecificationError, match="should be a finite number"):
            client.scrolled(100, speed, duration)
    for reason in ("", "x" * 101, None, 5):
        with pytest.raises(SpecificationError, match="`reason` should be a string of 1 to 100 characters"):
            client.request(reason)
    assert client.run_pending().requests == ()
    assert app.store.next_ordinal(EXPOSURE) == 0


def test_a_call_that_fails_can_be_repeated_with_other_values(app: App) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    item = client.order()[0]
    client.deleted(item, "dull")
    with pytest.raises(SpecificationError):
        client.exposed(item, {"duration_s": "long"})
    client.exposed(item, seen())
    client.exposed(item, seen())
    client.clicked(item)
    client.purchased(item)
    with pytest.raises(SpecificationError):
        client.left_page(item, {"duration_s": "long"})
    client.left_page(item, {"duration_s": 1.0})
    client.left_page(item, {"duration_s": 1.0})
    client.close()
    rows = app.cloud.sent("events")
    assert [row["reason"] for row in rows if row["kind"] == "exposure"] == ["dull", None]
    views = [(row["opened_from"], row["bought"]) for row in rows if row["kind"] == "page_view"]
    assert views == [("feed", 1), ("search", None)]


def test_explored_places_show_other_candidates_and_log_how_probable_that_was(app: App) -> None:
    numbers = iter([0.5, 0.09, 0.05, 0.99])  # epsilon is 0.1: the best one; index 4; index 2
    client = app.start(explore=0.1, draw=lambda: next(numbers))
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    (row,) = app.requests(client)
    best = np.argsort(-np.array(row["scores"]), kind="stable").tolist()
    assert row["positions"] == [best[0], best[5], best[3], best[1], best[2], best[4], *best[6:]]
    assert app.orders == [[row["item_id"][position] for position in row["positions"]][:6]]
    assert row["propensities"] == pytest.approx([0.92, 0.02, 0.02])
    assert (row["outcome"], row["explored_among"]) == ("reordered", 5)
    assert next(numbers) == 0.99
    tables = LogTables([app.model.spec], np.array(sorted(ITEMS)))
    (stored,) = [rows.requests for rows in (tables.of([one]) for one in app.cloud.batches) if len(rows.requests)]
    found = stored.select("positions", "propensities", "explored_among").row(0)
    assert found == (row["positions"], row["propensities"], 5)


def test_without_exploration_the_rows_are_as_before(app: App) -> None:
    client = app.start(draw=lambda: pytest.fail("a number was drawn"))
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    (row,) = app.requests(client)
    assert list(row) == [
        "request_id", "user_id", "store_id", "time", "page_id", "trigger", "model_version", "item_id", "clicked",
        "exposures_end", "page_views_end", "positions", "scores", "outcome", "duration_ms", "score",
    ]  # fmt: skip
    assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({"shadow": True}, "shadow"),
        ({"model": False}, "collected"),
        ({"budget_ms": 0}, "kept: it took"),
        ({"draw": lambda: 1.0}, "kept: client: `draw` should return numbers from 0 to below 1; received 1.0"),
        ({"draw": lambda: 1 / 0}, "kept: division by zero"),
    ],
)
def test_an_order_that_is_not_shown_is_not_explored(app: App, settings: dict[str, Any], outcome: str) -> None:
    client = app.start(explore=1.0, **settings)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    assert client.order() == list(range(100, 106))
    (row,) = app.requests(client)
    assert row["outcome"].startswith(outcome)
    assert "propensities" not in row


def test_shadow_mode_scores_and_keeps_the_order(app: App) -> None:
    client = app.start(shadow=True, budget_ms=0)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    assert client.order() == list(range(100, 106))
    (row,) = app.requests(client)
    assert row["outcome"] == "shadow"
    assert len(row["scores"]) == 10


def test_pass_through_records_behaviours_and_orders(app: App) -> None:
    client = app.start(model=False)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    with pytest.raises(SpecificationError, match="duration"):
        client.exposed(100, {"duration_s": "long"})
    for item in client.order()[:2]:
        client.exposed(item, seen())
    client.clicked(101)
    client.left_page(101, {"duration_s": 3.0})
    assert client.run_pending().requests == ("click",)
    assert client.order() == list(range(100, 106))
    rows = app.requests(client)
    assert app.cloud.requests[0].version_id is None
    assert [(row["trigger"], row["outcome"], row["scores"]) for row in rows] == [
        ("page", "collected", None),
        ("click", "collected", None),
    ]
    assert rows[0]["clicked"][:3] == [0, 1, None]
    assert len(app.cloud.sent("events")) == 3


def test_a_budget_throws_a_late_result_away_and_then_refuses(app: App) -> None:
    client = app.start(budget_ms=0.0)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    for _ in range(2):
        client.request("again")
        client.run_pending()
    assert client.order() == list(range(100, 106))
    late, refused, again = app.requests(client)
    assert "ms, and the budget is 0 ms" in late["outcome"]
    assert late["outcome"].startswith("kept: it took ")
    assert len(late["scores"]) == 10
    assert refused["outcome"].startswith("kept: it would take about ")
    assert refused["scores"] is None
    assert again["outcome"].startswith("kept: it took ")  # the slow re-rank is forgotten


def test_the_window_of_a_re_rank_is_configurable(app: App) -> None:
    client = app.start(candidates=3)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    assert set(client.order()[:3]) == {100, 101, 102}
    assert client.order()[3:] == [103, 104, 105]
    assert app.requests(client)[0]["item_id"] == [100, 101, 102]


def test_items_found_by_search_are_fetched(app: App) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    app.cloud.fault = "no network"
    client.left_page(150, {"duration_s": 3.0})
    client.request("again")
    done = client.run_pending()
    assert "items of behaviours cannot be fetched: no network" in done.errors
    app.cloud.fault = None
    app.clock.now += 1000
    client.request("again")
    done = client.run_pending()
    assert (done.items, done.encoded, done.errors) == (1, 1, ())
    outcomes = [row["outcome"] for row in app.requests(client)]
    assert outcomes[1] == "kept: 1 behaviours are not encoded: 1 items are not here yet"
    assert outcomes[2] == "reordered"


def test_behaviours_with_an_item_that_the_cloud_does_not_have_are_left_out(app: App) -> None:
    client = app.start(triggers=())
    app.offer(*range(100, 110))
    client.refresh()
    for item in (150, 999, 151, 999):
        client.exposed(item, seen())
    client.left_page(999, {"duration_s": 1.0})
    items, errors = 0, []
    for _ in range(8):
        app.clock.now += 1_000_000
        done = client.run_pending()
        items, errors = items + done.items, errors + list(done.errors)
    assert items == 2
    assert errors[-1] == "3 behaviours are left out, because their item is refused: the catalogue has no item 999"
    assert app.store.encoded_through(EXPOSURE, app.model.version_id) == 2
    client.exposed(152, seen())
    client.run_pending()
    client.request("app")
    client.run_pending()
    assert app.requests(client)[-1]["outcome"] == "reordered"


def test_a_behaviour_that_the_model_cannot_read_is_left_out(app: App) -> None:
    """Without a model and a specification, any value is recorded."""
    before = Client(app.store, app.cloud, None, clock=app.clock)
    before.exposed(150, {"duration_s": "long"})
    before.exposed(151, seen())
    before.close(send=False)
    client = app.start(triggers=())
    done = client.run_pending()
    assert (done.items, done.encoded) == (2, 1)
    (error,) = done.errors
    assert error.startswith("a behaviour is left out: ")
    assert app.store.encoded_through(EXPOSURE, app.model.version_id) == 1
    client.close()


def test_the_next_page_is_requested_before_the_end_and_joins_the_rest(app: App) -> None:
    client = app.start(prefetch=2)
    app.offer(*range(100, 110))
    app.offer(109, *range(110, 130))
    client.refresh()
    client.run_pending()
    for position in range(4):
        assert len(app.cloud.requests) == 1
        client.exposed(client.order()[position], seen())
        client.run_pending()
    first, second = app.cloud.requests
    assert (first.held, first.count, first.version_id) == ((), 10, app.model.version_id)
    assert (len(second.held), second.count) == (6, 6)
    assert len(client.order()) == 4 + 6
    rows = app.requests(client)
    assert [row["page_id"] for row in rows] == [1, 2]
    assert rows[1]["item_id"][:6] == list(second.held)
    assert not set(rows[1]["item_id"][6:]) & set(rows[0]["item_id"])


def test_without_the_cloud_the_items_on_the_device_are_shown(app: App) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    app.offer(*range(110, 120))
    client.refresh()
    client.run_pending()
    app.cloud.fault = "no network"
    client.shown(client.order()[5])
    assert client.run_pending().errors == ("no page: no network",)
    assert len(client.order()) == 10
    app.cloud.fault = None
    client.shown(client.order()[8])
    assert client.run_pending().pages == 0  # it waits before it tries again
    app.clock.now += 1000
    assert client.run_pending().pages == 1
    assert len(client.order()) == 9 + 6


def test_a_refresh_replaces_the_list(app: App) -> None:
    client = app.start()
    for first in (100, 120):
        app.offer(*range(first, first + 10))
    client.refresh()
    client.run_pending()
    client.exposed(client.order()[0], seen())
    client.refresh()
    client.run_pending()
    assert set(client.order()) < set(range(120, 130))
    late = next(iter(set(range(100, 110)) - set(client.order())))
    client.exposed(late, seen())
    client.close()
    assert [row["page_id"] for row in app.cloud.sent("events")] == [1, 1]


def test_an_exposure_belongs_to_the_page_on_which_the_item_was_shown(app: App) -> None:
    client = app.start(rank_pages=False)
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    client.shown(100)
    app.offer(*range(105, 110), *range(100, 105))
    client.refresh()
    client.run_pending()
    client.exposed(100, seen())
    client.exposed(105, seen())
    assert app.store.latest(EXPOSURE, 2)[0][1].page_id == 1
    client.exposed(106, seen())
    assert client.order() == [*range(105, 110), 100]
    labels = [dict(zip(row["item_id"], row["clicked"], strict=True)) for row in app.requests(client)]
    assert [one[100] for one in labels] == [0, None]
    assert [one[105] for one in labels] == [None, 0]


def test_a_page_that_the_model_cannot_read_keeps_its_order(app: App) -> None:
    app.cloud.version_id = "newer"
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    assert client.run_pending().requests == ("page",)
    assert client.order() == list(range(100, 106))
    (row,) = app.requests(client)
    assert row["outcome"].startswith("kept: the model cannot read the page: the cloud sent items of model version None")


def test_log_rows_wait_for_the_cloud(app: App) -> None:
    client = app.start(send_interval_ms=100, send_rows=2)
    app.cloud.fault = "no network"
    for _ in range(5):
        client.exposed(100, seen())
    # One request says that the cloud is not there. Rows and pages wait, too.
    assert client.run_pending().errors == ("items of behaviours cannot be fetched: no network",)
    app.cloud.fault = None
    assert client.run_pending().sent == 0
    app.clock.now += 1000
    assert client.run_pending().sent == 3
    assert [batch.number for batch in app.cloud.batches] == [0, 1, 2]
    assert [row["ordinal"] for row in app.cloud.sent("events")] == list(range(5))
    assert client.run_pending().sent == 0
    client.close()


def test_only_the_rows_that_the_cloud_refuses_are_lost(app: App) -> None:
    client = app.start(send_interval_ms=100, send_rows=8)
    app.cloud.refused = {105, 106, 111}
    for item in range(100, 115):
        client.exposed(item, seen())
    done = client.run_pending()
    lost = "a log row is lost, because the cloud refuses it: item {} is wrong"
    assert done.errors == tuple(lost.format(item) for item in (105, 106, 111))
    assert [row["item_id"] for row in app.cloud.sent("events")] == [
        item for item in range(100, 115) if item not in app.cloud.refused
    ]
    numbers = [batch.number for batch in app.cloud.batches]
    assert numbers == sorted(set(numbers))
    assert app.store.measure()["lost"] == 3
    assert len(app.store.latest(EXPOSURE, 20)) == 15
    client.close()


def test_an_item_is_offered_at_the_time_of_the_first_request_of_its_page(app: App) -> None:
    client = app.start(prefetch=2)
    app.offer(*range(100, 110))
    app.offer(*range(110, 120))
    client.refresh()
    client.exposed(150, seen())
    client.run_pending()
    app.clock.now += 5000
    for item in client.order()[:4]:
        client.exposed(item, seen())
    client.run_pending()
    held, new = client.order()[4], next(item for item in client.order() if item >= 110)
    for item in (held, new):
        client.exposed(item, seen())
    client.close()
    first = {}
    for row in app.cloud.sent("requests"):
        first.setdefault(row["page_id"], row["time"])
    offered = {row["item_id"]: row["offered_at"] for row in app.cloud.sent("events")}
    assert first[1] == START + 1
    assert first[2] > START + 5000
    assert offered.pop(150) is None
    assert offered.pop(new) == first[2]
    assert set(offered.values()) == {first[1]}


def test_a_refresh_survives_any_fault_of_the_transport(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(app.cloud, "page", lambda request: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client.run_pending()
    app.clock.now += 1000
    assert client.run_pending().pages == 1
    client.close()


def test_a_clock_that_is_set_back_delays_nothing(app: App) -> None:
    client = app.start(triggers=("early_click",), debounce_ms=300, send_interval_ms=1000)
    app.clock.now += 7_200_000
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    client.clicked(client.order()[0])
    assert client.run_pending().requests == ("early_click",)
    app.cloud.fault = "no network"
    client.exposed(client.order()[0], seen())
    app.clock.now += 1000
    client.run_pending()
    app.cloud.fault = None
    app.clock.now -= 3_600_000
    client.clicked(client.order()[1])  # time goes on from the latest time, at the speed of the clock
    app.clock.now += 2000
    done = client.run_pending()
    assert (done.requests, done.sent) == (("early_click",), 1)
    client.close()


@pytest.mark.parametrize("time", [-1, 4_102_444_800_000, 2**62])
def test_a_time_that_cannot_be_true_is_ignored(app: App, time: int) -> None:
    client = app.start()
    client.exposed(150, seen())
    app.clock.now = time
    client.exposed(151, seen())
    client.run_pending()
    app.clock.now = START + 5
    client.exposed(152, seen())
    client.close()
    assert [row["time"] for row in app.cloud.sent("events")] == [START, START, START + 5]


def test_times_never_go_back_and_a_request_is_later_than_what_it_knows(app: App) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    client.exposed(150, seen())
    app.clock.now -= 500
    client.exposed(151, seen())
    client.run_pending()
    client.exposed(152, seen())
    client.close()
    times = [row["time"] for row in app.cloud.sent("events")]
    (request,) = app.cloud.sent("requests")
    assert times == [START, START, START + 1]
    assert request["time"] == START + 1


def test_served_values_may_differ_from_those_of_the_page(app: App) -> None:
    client = app.start()
    app.offer(*range(100, 110))
    client.refresh()
    client.run_pending()
    client.exposed(101, seen(), page_id=1, served={"score": 9.0})
    client.exposed(102, seen(), served={"score": 8.0})
    assert client.run_pending().items == 2
    client.close()
    rows = app.cloud.sent("events")
    assert [(row["page_id"], row["score"]) for row in rows] == [(1, 9.0), (None, 8.0)]
    (request,) = app.cloud.sent("requests")
    assert request["clicked"][:3] == [None, 0, None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"page": 0}, "`page` should be at least 1; received 0"),
        ({"debounce_ms": -1}, "`debounce_ms` should be at least 0"),
        ({"prefetch": 50}, "`prefetch` should be below `page`"),
        ({"page": "8"}, "`page` should be a whole number; received '8'"),
        ({"page": None}, "`page` should be a whole number; received None"),
        ({"prefetch": 2.5}, "`prefetch` should be a whole number"),
        ({"explore": 1.5}, "`explore` should be at most 1; received 1.5"),
        ({"explore": "x"}, "`explore` should be a number"),
        ({"explore": None}, "`explore` should be a number; received None"),
        ({"explore_places": 0}, "`explore_places` should be at least 1"),
        ({"explore_among": 1}, "`explore_among` should be at least 2"),
        ({"budget_ms": "x"}, "`budget_ms` should be a number"),
        ({"budget_ms": float("nan")}, "`budget_ms` should be a number; received nan"),
        ({"shadow": "no"}, "`shadow` should be True or False; received 'no'"),
        ({"triggers": "click"}, "`triggers` should be a tuple of names; received 'click'"),
        ({"own_triggers": {"cart": 3}}, "own trigger 'cart' should be a function; received 3"),
        ({"own_triggers": None}, "`own_triggers` should be a mapping"),
        ({"columns": {}}, "`columns` should be ActionColumns"),
        ({"triggers": ("clicks",)}, "trigger 'clicks' is unknown; the known triggers are click, early_click"),
    ],
)
def test_a_wrong_configuration_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ClientConfig(**settings)


def test_threads_do_the_same_as_single_steps(app: App, tmp_path: Path) -> None:
    def session(store: BehaviourStore, *, threaded: bool) -> tuple[list[int], list[dict[str, Any]]]:
        app.store, app.cloud.batches, app.cloud.lists = store, [], []
        app.clock.now, app.pages = START, count(1)
        app.offer(*range(100, 110))
        app.offer(*range(110, 125))
        client, rng = app.start(exposures_without_click=2), np.random.default_rng(5)
        if threaded:
            client.start()

        def settle() -> None:
            assert client.wait(60) if threaded else client.run_pending()

        client.refresh()
        settle()
        for position in range(12):
            app.clock.now += 1000
            item = client.order()[position]
            client.exposed(item, seen(duration_s=float(rng.exponential(3))))
            settle()
            if rng.random() < 0.3:
                client.clicked(item)
                client.left_page(item, {"duration_s": float(rng.exponential(9))})
                settle()
        order = client.order()
        client.close()
        rows = [dict(row) for row in app.cloud.sent("requests")]
        for row in rows:
            del row["request_id"], row["store_id"], row["duration_ms"]
        return order, rows

    alone = session(app.store, threaded=False)
    with BehaviourStore(tmp_path / "threads.db", user_id=3, limits=app.model.limits) as store:
        assert session(store, threaded=True) == alone
    assert len(alone[1]) > 5


def test_the_calls_of_an_application_may_come_from_many_threads(app: App) -> None:
    from concurrent.futures import ThreadPoolExecutor

    app.offer(*range(100, 110))
    client = app.start()
    client.start()
    client.refresh()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: client.exposed(100 + number % 50, seen()), range(80)))
        list(pool.map(lambda number: client.left_page(100 + number % 50), range(20)))
    assert client.wait(60)
    client.close()
    assert app.store.encoded_through(EXPOSURE, app.model.version_id) == 79
    assert app.store.encoded_through(PAGE_VIEW, app.model.version_id) == 19


def test_the_callback_gets_orders_one_after_the_other(app: App) -> None:
    entered, proceed, running, overlaps = threading.Event(), threading.Event(), [], []

    def on_order(order: list[int]) -> None:
        overlaps.append(len(running))
        running.append(order)
        entered.set()
        proceed.wait()
        running.pop()

    client = app.start()
    client._on_order = on_order
    reports = [threading.Thread(target=client._changed) for _ in range(2)]
    for thread in reports:
        thread.start()
    entered.wait()
    reports[1].join(0.2)
    proceed.set()
    for thread in reports:
        thread.join()
    assert overlaps == [0, 0]


def test_behaviours_that_wait_are_bounded_in_memory_and_the_store_keeps_all(app: App) -> None:
    """10,000 behaviours at once is a proof (`scripts/prove faults`)."""
    client, limit = app.start(triggers=()), app.model.limits.of(EXPOSURE)
    app.cloud.fault = "no network"
    for number in range(5 * limit + 3):
        client.exposed(100 + number % 50, seen(duration_s=number / 7))
    client.run_pending()
    assert client._cloud._serving is not None
    assert len(client._cloud._serving._kinds[EXPOSURE].waiting) <= 2 * limit
    app.cloud.fault = None
    app.clock.now += 10_000
    assert any(not client.run_pending().items for _ in range(2 * limit + 1))
    window = app.store.window(EXPOSURE, app.model.version_id, limit)
    client.close()
    assert [row["ordinal"] for row in app.cloud.sent("events")] == list(range(5 * limit + 3))
    app.store.forget_encodings(EXPOSURE)
    app.start(triggers=()).run_pending()
    again = app.store.window(EXPOSURE, app.model.version_id, limit)
    for name in ("ordinals", "own_keys", "own_values", "previous_keys", "previous_values"):
        np.testing.assert_array_equal(getattr(window, name), getattr(again, name))
    assert len(window) == limit


def test_calls_that_never_end_in_a_behaviour_take_bounded_memory(app: App) -> None:
    client = app.start()
    for number in range(2 * MOST_ITEMS):
        client.scrolled(number, 1.0, 1.0)
        client.request("again")
    assert len(client._partial._items) == MOST_ITEMS
    assert len(client._device._asked) == MOST_ASKED
