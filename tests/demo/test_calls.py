"""The JSON calls of the demo: real clients and models of a small world, without a server."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from edgerec.core.errors import FormatError
from edgerec.data.logs import open_logs
from edgerec.demo import sessions as sessions_module
from edgerec.demo.app import MOST_BODY, STORE_FAULT, create_demo
from edgerec.demo.cards import Cards
from edgerec.demo.cloud import LoggedCloud, SimulatedCloud
from edgerec.demo.models import DemoModels
from edgerec.demo.serve import hosts_at
from edgerec.demo.sessions import Sessions, opened_sessions
from edgerec.features.behaviours import EXPOSURE
from tests.cloud.asking import Answer, ask

HOST = "127.0.0.1:8010"
OWN = {"host": HOST, "origin": f"http://{HOST}"}


@pytest.fixture(scope="module")
def sessions(small_world_path: Path) -> Iterator[Sessions]:
    bundle, logs = small_world_path / "bundle", small_world_path / "logs"
    with opened_sessions(SimulatedCloud(bundle, logs), DemoModels(bundle), Cards.open(open_logs(logs))) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(sessions: Sessions) -> FastAPI:
    return create_demo(sessions, [HOST])


def call(app: FastAPI, path: str, body: Any) -> Answer:
    return ask(app, "POST", path, body, **OWN)


def begun(app: FastAPI) -> dict[str, Any]:
    answer = call(app, "/api/session", {"session": None})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def report(app: FastAPI, document: dict[str, Any], bucket: str, *events: dict[str, Any]) -> dict[str, Any]:
    answer = call(app, "/api/events", {"session": document["session"], "bucket": bucket, "events": list(events)})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def seen(items: list[str]) -> list[dict[str, Any]]:
    shown = [{"what": "shown", "item": item} for item in items]
    ended = [{"what": "exposed", "item": item, "seconds": 1.5, "speed": 0.4, "scrolls": 1} for item in items]
    return [*shown, *ended]


def opened(item: str, seconds: float = 30.0) -> list[dict[str, Any]]:
    return [
        {"what": "clicked", "item": item},
        {"what": "acted", "item": item, "column": "add_cart"},
        {"what": "left", "item": item, "seconds": seconds},
    ]


def test_a_tap_moves_unseen_cards_of_b_and_none_of_a(app: FastAPI) -> None:
    """In both buckets, the user sees ten cards, opens the third one and puts it in the cart."""
    document = begun(app)
    orders = {}
    for bucket in "AB":
        before = document["buckets"][bucket]["order"]
        assert len(before) >= 30  # All of them, if the small world has fewer than the client asks for.
        report(app, document, bucket, *seen(before[:10]))
        state = report(app, document, bucket, *opened(before[2]))
        assert state["order"][:10] == before[:10], "a card that was seen has moved"
        orders[bucket] = before, state
    before, state = orders["A"]
    assert state["order"][: len(before)] == before
    assert state["rerank"] is None
    before, state = orders["B"]
    assert state["order"][: len(before)] != before
    rerank = state["rerank"]
    assert rerank["number"] == 3  # The page, ten exposures, the way back from the item.
    assert rerank["trigger"] == "click"
    assert 0 < rerank["moved"] <= rerank["candidates"]
    assert 0 < rerank["p50"] <= rerank["p99"]


def test_cards_that_are_in_view_stay_where_they_are(app: FastAPI) -> None:
    """The exposure of most of them has not ended, so only `shown` tells the client."""
    document = begun(app)
    before = document["buckets"]["B"]["order"]
    report(app, document, "B", *({"what": "shown", "item": item} for item in before[:8]))
    state = report(app, document, "B", *opened(before[0]))
    assert state["order"][:8] == before[:8]
    assert state["order"] != before


def test_the_panel_names_what_the_model_looked_at(app: FastAPI) -> None:
    document = begun(app)
    order = document["buckets"]["B"]["order"]
    assert call(app, "/api/looked-at", {"session": document["session"]}).json == {"number": 1, "kinds": []}
    report(app, document, "B", *seen(order[:4]), *opened(order[1], 30.0), *opened(order[2], 5.0))
    found = call(app, "/api/looked-at", {"session": document["session"]}).json
    assert [kind["kind"] for kind in found["kinds"]] == ["page_view", "exposure"]
    for kind, count in zip(found["kinds"], (2, 4), strict=True):
        shares = [one["share"] for one in kind["behaviours"]]
        assert kind["count"] == count
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-5) or len(shares) < count
    words = {one["card"]["id"]: one["words"] for one in found["kinds"][0]["behaviours"]}
    assert set(words) == set(order[1:3])
    assert "stayed 30 s, put it in the cart" in words[order[1]]
    assert "on the screen for 1.5 s" in found["kinds"][1]["behaviours"][0]["words"]


def test_a_removed_card_is_gone_and_stays_gone(app: FastAPI) -> None:
    document = begun(app)
    order = document["buckets"]["B"]["order"]
    state = report(app, document, "B", {"what": "shown", "item": order[0]}, {"what": "deleted", "item": order[0]})
    assert order[0] not in state["order"]
    assert state["rerank"]["trigger"] == "delete"
    again = call(app, "/api/session", {"session": document["session"]}).json
    assert again["session"] == document["session"]
    assert again["buckets"]["B"]["order"] == state["order"]
    assert [card["id"] for card in again["buckets"]["B"]["cards"]] == state["order"]
    assert order[0] in again["buckets"]["A"]["order"]


def test_a_reset_gives_a_new_user_and_ends_the_session(app: FastAPI, sessions: Sessions) -> None:
    document = begun(app)
    folder = sessions.get(document["session"])._folder
    new = call(app, "/api/reset", {"session": document["session"]}).json
    assert new["session"] != document["session"]
    assert not folder.exists()
    answer = call(app, "/api/events", {"session": document["session"], "bucket": "B", "events": []})
    assert (answer.status, answer.json) == (410, {"error": "the session has ended: reload the page"})


def test_cards_have_names_of_the_simulated_world(app: FastAPI) -> None:
    cards = begun(app)["buckets"]["A"]["cards"]
    assert len({card["id"] for card in cards}) == len(cards) == 30
    assert all(card["title"] and card["category"] and card["brand"] and float(card["price"]) > 0 for card in cards)
    assert {type(card["picture"]) for card in cards} == {int}


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HOST},
        {"host": HOST, "origin": "null"},
        {"host": HOST, "origin": "https://example.com"},
        {"host": HOST, "origin": f"https://{HOST}"},
        {"host": "example.com:8010", "origin": "http://example.com:8010"},
        {"host": "127.0.0.1:8011", "origin": "http://127.0.0.1:8011"},
        {},
    ],
)
def test_other_pages_and_other_names_are_refused(app: FastAPI, headers: dict[str, str]) -> None:
    answer = ask(app, "POST", "/api/session", {"session": None}, **headers)
    assert answer.status == 403
    assert set(answer.json) == {"error"}


def test_a_foreign_page_cannot_even_read_the_page(app: FastAPI) -> None:
    assert ask(app, "GET", "/", host=HOST).status == 200
    assert ask(app, "GET", "/", host=HOST, origin="https://example.com").status == 403
    assert ask(app, "GET", "/", host="rebound.example.com").status == 403


@pytest.mark.parametrize("path", ["/", "/demo.css", "/demo.js", "/icon.svg"])
def test_the_page_may_load_only_its_own_files(app: FastAPI, path: str) -> None:
    answer = ask(app, "GET", path, host=HOST)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    text = re.sub(r"(^|\s)// .*", "", answer.body.decode())  # Without the comments.
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "")


def test_wrong_events_are_refused_as_a_whole(app: FastAPI) -> None:
    document = begun(app)
    order = document["buckets"]["B"]["order"]
    shown = {"what": "shown", "item": order[0]}
    for wrong, text in [
        ({"what": "shown", "item": "999999"}, "the page was not offered item 999999"),
        ({"what": "acted", "item": order[0], "column": "price"}, "there is no action 'price'"),
        ({"what": "bought", "item": order[0]}, "what"),
        ({"what": "shown", "item": "1e3"}, "item"),
        ({"what": "exposed", "item": order[0], "seconds": 1e9}, "seconds"),
        ({"what": "shown", "item": order[0], "price": 3}, "price"),
    ]:
        events = [{"what": "deleted", "item": order[0]}, wrong]
        answer = call(app, "/api/events", {"session": document["session"], "bucket": "B", "events": events})
        assert answer.status == 422
        assert text in answer.json["error"]
    assert report(app, document, "B", shown)["order"] == order, "an event before a wrong one was reported"


def test_an_event_that_cannot_be_stored_is_reported_again_and_none_twice(app: FastAPI, sessions: Sessions) -> None:
    """SQLite refuses to write for a while. `shown` is not stored, `exposed` is."""
    document = begun(app)
    session = sessions.get(document["session"])
    events = seen(document["buckets"]["A"]["order"][:2])
    body = {"session": document["session"], "bucket": "A", "events": events}
    store = session.feeds["A"]._store
    with store._database.lock:
        store._database._connection.execute("PRAGMA query_only = 1")
    answer = call(app, "/api/events", body)
    with store._database.lock:
        store._database._connection.execute("PRAGMA query_only = 0")
    assert (answer.status, answer.json) == (503, {"error": STORE_FAULT, "told": 2})
    assert call(app, "/api/events", {**body, "events": events[2:]}).status == 200
    assert store.next_ordinal(EXPOSURE) == 2


def test_a_session_that_fails_half_way_leaves_nothing_behind(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bucket A runs already when the cloud of B fails."""
    connect, before = sessions._cloud.connect, set(threading.enumerate())

    def fails(user: int, bucket: int) -> Any:
        if bucket == 1:
            raise FormatError("the cloud of B fails")
        return connect(user, bucket)

    monkeypatch.setattr(sessions._cloud, "connect", fails)
    folders = set(sessions._folder.iterdir())
    with pytest.raises(FormatError, match="the cloud of B fails"):
        sessions.open(None)
    assert set(sessions._folder.iterdir()) == folders
    assert set(threading.enumerate()) <= before


def test_a_large_body_is_refused(app: FastAPI) -> None:
    body = b'{"session": "' + b"x" * MOST_BODY + b'"}'
    assert ask(app, "POST", "/api/session", body, **OWN).status == 413


def test_one_session_more_than_allowed_ends_the_one_that_was_used_first(
    app: FastAPI, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "MOST_SESSIONS", 2)
    first, second = begun(app), begun(app)
    report(app, first, "A")
    third = begun(app)
    for document, status in ((first, 200), (second, 410), (third, 200)):
        body = {"session": document["session"], "bucket": "A", "events": []}
        assert call(app, "/api/events", body).status == status


def test_any_bundle_and_logs_can_be_shown(bundle_path: Path, samples_path: Path) -> None:
    """These logs are not simulated: the cloud has the recall of `edgerec serve`, and items have no names."""
    logs = samples_path.parent / "logs"
    cloud, cards = LoggedCloud(bundle_path, logs), Cards.open(open_logs(logs))
    with opened_sessions(cloud, DemoModels(bundle_path), cards) as sessions:
        app = create_demo(sessions, [HOST])
        document = begun(app)
        orders = {name: state["order"] for name, state in document["buckets"].items()}
        assert set(orders["A"]) == set(orders["B"])
        card = document["buckets"]["A"]["cards"][0]
        assert card["title"] == f"Item {card['id']}"
        assert card["picture"] is None
        state = report(app, document, "B", *seen(orders["B"][:2]))
        assert set(state["order"]) == set(orders["B"])


@pytest.mark.parametrize(
    ("price", "text"), [(Decimal("1234.5"), "1,234.50"), (3, "3.00"), (float("nan"), ""), ("x", "")]
)
def test_a_price_is_a_number_of_any_type(price: Any, text: str) -> None:
    assert Cards({7: {"price": price}}, simulated=False).card(7)["price"] == text


def test_browsers_leave_out_the_port_80() -> None:
    assert hosts_at(80) == ["127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost"]
    assert hosts_at(8010) == ["127.0.0.1:8010", "localhost:8010"]


def test_a_world_without_its_parameters_is_an_error(small_world_path: Path, samples_path: Path) -> None:
    with pytest.raises(FormatError, match=r"simulation\.json is missing or damaged"):
        SimulatedCloud(small_world_path / "bundle", samples_path.parent / "logs")
