"""A mixed feed through the real client: rules, frozen cards, prices, faults, and what is logged."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgerec import DeviceModel, load_device_model
from edgerec.core.errors import ConfigurationError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.mixing.config import MixConfig
from edgerec.mixing.mixer import Mixer
from edgerec.mixing.prices import KindState
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.quota import DAY_MS, SESSION_MS, Shown
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.violations import violations
from tests.device_runtime.local_cloud import read_tables
from tests.device_runtime.mixed_feed import ITEMS, START, MixedApp, mixed_model, rules_of


@pytest.fixture(scope="module")
def parts(bundle_path: Path) -> tuple[DeviceModel, dict[str, Any]]:
    return load_device_model(bundle_path), read_tables(bundle_path)


@pytest.fixture
def app(parts: tuple[DeviceModel, dict[str, Any]], tmp_path: Path) -> Iterator[MixedApp]:
    model, tables = parts
    with BehaviourStore(tmp_path / "user.db", user_id=3, limits=model.limits) as store:
        yield MixedApp(mixed_model(model), store, tables)


EARLY = MixPrior(version_id="v", examination=[0.9**place for place in range(20)], prices={"ad": 0.5})
"""Earlier places are seen more often, so that cards of more value come first."""


def opened(app: MixedApp, items: range = range(1000, 1010), **more: Any) -> Client:
    """Return a client with its first page."""
    client = app.start(**more)
    app.offer(items)
    client.refresh()
    client.run_pending()
    return client


def ads(app: MixedApp, items: list[int]) -> list[int]:
    return [place for place, item in enumerate(items, 1) if app.items[item]["card_kind"] == "ad"]


def test_the_order_follows_the_rules_and_is_logged(app: MixedApp) -> None:
    client = opened(app)
    shown = client.order()
    assert sorted(shown) == list(range(1000, 1010))
    assert ads(app, shown)[0] >= 3
    [row] = app.requests(client)
    assert row["outcome"] == "mixed"
    assert [row["item_id"][position] for position in row["positions"]] == shown
    best = np.argsort(-np.array(row["scores"]), kind="stable")
    for kind in ("product", "video", "ad"):
        own = [position for position in row["positions"] if ITEMS[row["item_id"][position]]["card_kind"] == kind]
        assert own == [position for position in best if ITEMS[row["item_id"][position]]["card_kind"] == kind]


def test_without_rules_nothing_changes(app: MixedApp, parts: tuple[DeviceModel, dict[str, Any]]) -> None:
    app.model = parts[0]
    client = opened(app, mix=MixConfig(policy="greedy"))
    app.see(client, client.order()[0])
    assert (client.predictions(), client.unknown_kinds, app.store.mixing()) == ({}, 0, {})
    [row] = app.requests(client)
    assert row["outcome"] == "reordered"
    assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()


def test_the_policy_off_leaves_the_order_of_the_model_and_counts_on(app: MixedApp) -> None:
    client = opened(app, mix=MixConfig(policy="off"))
    app.see(client, client.order()[0])
    assert sum(one.shown.own for one in app.store.mixing().values()) == 1
    [row] = app.requests(client)
    assert row["outcome"] == "reordered"
    assert row["positions"] == np.argsort(-np.array(row["scores"]), kind="stable").tolist()


def test_predictions_are_calibrated_rates_of_the_latest_plan(app: MixedApp, parts: tuple[Any, Any]) -> None:
    prior = MixPrior(version_id="v", calibration={"ad": (2.0, -1.0)})
    app.model = mixed_model(parts[0], prior=prior)
    client = opened(app)
    found = client.predictions()
    [row] = app.requests(client)
    for item, logit in zip(row["item_id"], row["scores"], strict=True):
        scale, shift = (2.0, -1.0) if ITEMS[item]["card_kind"] == "ad" else (1.0, 0.0)
        assert found[item] == pytest.approx(1 / (1 + np.exp(-(scale * logit + shift))))


@settings(max_examples=10, phases=(Phase.generate,))
@given(st.data())
def test_seen_cards_never_move_and_rules_hold_over_pages_and_plans(
    parts: tuple[DeviceModel, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A user scrolls slowly and fast, clicks, refreshes and gets more pages; the app is started again in between."""
    model, tables = parts
    kinds = {
        "product": {},
        "video": {"gap": data.draw(st.integers(1, 3)), "share": (0, 0.3)},
        "ad": {
            "worth": data.draw(st.sampled_from([0.5, 3])),
            "share": (0, 0.2),
            "over": data.draw(st.sampled_from(["session", "day", "user"])),
            "gap": data.draw(st.integers(1, 5)),
            "advertiser_gap": data.draw(st.integers(1, 9)),
            "first": data.draw(st.integers(1, 6)),
            "at_most": data.draw(st.integers(0, 3)),
        },
    }
    rules = rules_of(page=data.draw(st.sampled_from([5, 10])), kinds=kinds)
    mix = MixConfig(policy=data.draw(st.sampled_from(["price", "page", "greedy", "fixed"])), rate=0.1)
    path = tmp_path_factory.mktemp("mixed") / "user.db"
    next_item, total = 1000, 0
    for _ in range(2):  # two starts of the application
        with BehaviourStore(path, user_id=3, limits=model.limits) as store:
            app = MixedApp(mixed_model(model, rules), store, tables)
            app.clock.now = max(app.clock.now, store.last_time)
            client = app.start(page=5, fetch=10, prefetch=2, mix=mix, exposures_without_click=3)
            seen: list[int] = []
            client.refresh()
            for _ in range(data.draw(st.integers(3, 8))):
                if not app.cloud.lists:
                    app.offer(range(next_item, next_item + 10))
                    next_item += 10
                client.run_pending()
                order = client.order()
                assert order[: len(seen)] == seen
                shown = app.cards(order[: len(seen) + 4])
                check_rules(app, shown)
                step = data.draw(st.sampled_from(["next", "next", "next", "jump", "click", "ask", "refresh"]))
                if step == "ask":
                    client.request("again")
                elif step == "refresh":
                    client.refresh()
                    seen = []
                    client.run_pending() if app.cloud.lists else None
                    seen = []
                elif len(order) > len(seen):
                    count = min(3 if step == "jump" else 1, len(order) - len(seen))
                    for item in order[len(seen) : len(seen) + count]:
                        app.see(client, item)
                        total += 1
                        if step == "click":
                            client.clicked(item)
                            client.left_page(item, {"duration_s": 3.0})
                    seen = order[: len(seen) + count]
            client.close()
            outcomes = {row["outcome"] for row in app.cloud.sent("requests")}
            assert outcomes <= {"mixed"}
            counted = store.mixing()
            assert store.next_ordinal(EXPOSURE) == total
            if counted:
                assert {one.shown.cards for one in counted.values()} == {total}


def check_rules(app: MixedApp, shown: Cards) -> None:
    """Check the cards of a list from the top. Its end may have cards for which no rule allows a place."""
    problem = Problem(shown, places=len(shown))
    assert violations(problem, app.rules, Plan(np.arange(len(shown)), len(shown), 0.0, ("at_least", "order"))) == []


def test_a_card_counts_once_in_a_list_and_only_if_a_page_offered_it(app: MixedApp) -> None:
    client = opened(app)
    first, second = client.order()[:2]
    for item in (first, second, first):
        app.see(client, item)
    client.exposed(1300, {"duration_s": 1.0}, served={"score": 0.5})  # from another list of the application
    assert {one.shown.cards for one in app.store.mixing().values()} == {2}
    app.offer(range(1000, 1010))
    client.refresh()
    client.run_pending()
    app.see(client, first)
    assert {one.shown.cards for one in app.store.mixing().values()} == {3}


def test_prices_move_with_what_the_user_sees_and_a_restart_goes_on(app: MixedApp, parts: tuple[Any, Any]) -> None:
    """Ads are worth so much that only their price keeps them to the share."""
    kinds = {"product": {}, "video": {}, "ad": {"worth": 100, "share": (0, 0.1), "over": "user"}}
    app.model = mixed_model(parts[0], rules_of(kinds=kinds), EARLY)
    client = opened(app, mix=MixConfig(rate=10.0))
    assert ads(app, client.order()) == [1, 2]
    for item in client.order()[:2]:
        app.see(client, item)
    drift = app.store.mixing()["ad"].drift
    assert drift == pytest.approx(2 * 10 * 0.9)
    client.close()
    app.clock.now += 10 * DAY_MS
    again = opened(app, range(1010, 1020), mix=MixConfig(rate=10.0))
    app.see(again, next(item for item in again.order() if ITEMS[item]["card_kind"] == "product"))
    assert app.store.mixing()["ad"].drift == pytest.approx(drift - 10 * 0.1)
    assert app.store.mixing()["ad"].shown.cards == 3


def test_a_new_session_starts_from_the_first_price(app: MixedApp) -> None:
    client = opened(app, mix=MixConfig(rate=1.0))
    for _ in range(10):
        app.see(client, client.order()[len(app.store.latest(EXPOSURE, 99))])
    app.clock.now += SESSION_MS + 1
    app.offer(range(1010, 1020))
    client.refresh()
    client.run_pending()
    app.see(client, client.order()[0])
    assert {one.shown.cards for one in app.store.mixing().values()} == {1}


def test_prices_of_the_cloud_and_of_the_configuration(app: MixedApp, parts: tuple[Any, Any]) -> None:
    """The configuration comes before the page, and the page before the bundle. What is no price is left out."""
    kinds = {"product": {}, "video": {}, "ad": {"worth": 3}}
    app.model = mixed_model(parts[0], rules_of(kinds=kinds), EARLY.model_copy(update={"prices": {"ad": 9.0}}))
    client = opened(app)
    assert ads(app, client.order()) == [9, 10], "ads cost more than they are worth"
    app.cloud.context = {"mix_price.ad": -9.0, "mix_price.video": "much", "mix_price.product": True}
    app.offer(range(1010, 1020))
    client.refresh()
    client.run_pending()
    assert ads(app, client.order()) == [1, 2]
    client.close()
    last = opened(app, range(1020, 1030), mix=MixConfig(prices={"ad": 9.0}))
    assert ads(app, last.order()) == [9, 10]


def test_cards_of_an_unknown_kind_count_as_unknown(app: MixedApp) -> None:
    app.items = {**ITEMS, **{item: {**ITEMS[item], "card_kind": kind} for item, kind in ((1000, "game"), (1001, None))}}
    app.__post_init__()
    client = opened(app)
    assert client.unknown_kinds == 2
    client.request("again")
    client.run_pending()
    assert client.unknown_kinds == 2
    app.see(client, 1000)
    assert app.store.mixing()["product"].shown.own == sum(
        ITEMS[item]["card_kind"] == "product" for item in client.order()[: client.order().index(1000) + 1]
    ) or app.store.mixing()["product"].shown == Shown(1, 1, app.clock.now // DAY_MS, app.clock.now)
    assert [row["outcome"] for row in app.requests(client)] == ["mixed", "mixed"]


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("the solver is broken\nmore")


def test_on_any_fault_the_order_of_the_model_stands_and_the_log_says_why(
    app: MixedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened(app)
    monkeypatch.setattr(Mixer, "mix", broken)
    client.request("broken")
    client.run_pending()
    monkeypatch.undo()
    score = type(client._reranking._serving).score_cards  # type: ignore[union-attr]

    def with_nan(*arguments: Any, **more: Any) -> Any:
        found = score(*arguments, **more)
        found.logits[0] = np.nan
        return found

    monkeypatch.setattr(type(client._reranking._serving), "score_cards", with_nan)  # type: ignore[union-attr]
    client._mixing.predictions = {}
    order = client.order()
    client._reranking._store.record_request = lambda request: order.append(request.outcome)  # type: ignore[method-assign]
    client.request("nan")
    client.run_pending()
    assert order[-1].startswith("reordered, not mixed: scores should be finite; NaN or infinite: 1 of ")
    assert client.predictions() == {}
    monkeypatch.undo()
    del client._reranking._store.record_request
    rows = app.requests(client)
    assert rows[-1]["outcome"] == "reordered, not mixed: the solver is broken"
    assert rows[-1]["positions"] == np.argsort(-np.array(rows[-1]["scores"]), kind="stable").tolist()


def test_a_plan_over_its_budget_is_not_shown(app: MixedApp) -> None:
    client = opened(app, mix=MixConfig(budget_ms=0.0))
    client.request("again")
    client.run_pending()
    first, second = app.requests(client)
    assert first["outcome"].startswith("reordered, not mixed: it took ")
    assert second["outcome"].startswith("reordered, not mixed: it would take about ")


def test_a_page_without_kinds_is_not_mixed(app: MixedApp) -> None:
    app.columns = ()
    app.__post_init__()
    client = opened(app)
    app.see(client, client.order()[0])
    assert app.store.mixing() == {}
    [row] = app.requests(client)
    assert row["outcome"] == "reordered, not mixed: the page has no column 'card_kind', which the rules read"


def test_too_few_ads_and_rules_that_cannot_hold(app: MixedApp, parts: tuple[Any, Any]) -> None:
    kinds = {"product": {}, "video": {}, "ad": {"at_least": 3}}
    app.model = mixed_model(parts[0], rules_of(kinds=kinds))
    client = opened(app)
    assert len(ads(app, client.order())) == 2
    [row] = app.requests(client)
    assert row["outcome"] == "mixed, without: at_least"


def test_cards_that_the_rules_allow_too_seldom_do_not_pile_up(app: MixedApp) -> None:
    """A fifth of the offered cards are ads, and no more than a tenth may be shown. Shown cards are never dropped."""
    client = app.start(page=4, fetch=10, prefetch=1)
    app.cloud.context = {"mix_price.ad": 50.0}
    client.refresh()
    for first in range(1000, 1100, 10):
        app.offer(range(first + 9, first - 1, -1))  # ads are first
        client.run_pending()
        before = client.order()
        for item in before[len(client._feed._fixed) :]:
            app.see(client, item)
        assert client.order()[: len(before)] == before
    held = app.cloud.requests[-1].held
    assert len(ads(app, list(held))) <= 2
    assert {row["outcome"] for row in app.requests(client)} == {"mixed"}


def test_a_mixed_order_is_not_explored(app: MixedApp) -> None:
    """Without mixing, the same client explores."""
    client = opened(app, explore=1.0, draw=lambda: 0.99)
    [row] = app.requests(client)
    assert (row["outcome"], row.get("propensities")) == ("mixed", None)
    client = opened(app, range(1010, 1020), explore=1.0, draw=lambda: 0.99, mix=MixConfig(policy="off"))
    row = app.requests(client)[-1]
    assert (row["outcome"], len(row["propensities"])) == ("reordered", 3)


def test_a_shadow_client_logs_the_mixed_order(app: MixedApp) -> None:
    client = opened(app, shadow=True)
    assert client.order() == list(range(1000, 1010))
    [row] = app.requests(client)
    assert row["outcome"] == "shadow"
    assert ads(app, [row["item_id"][position] for position in row["positions"]])[0] >= 3


def test_wrong_configurations_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="client: `mix` should be MixConfig"):
        ClientConfig(mix={"policy": "price"})  # type: ignore[arg-type]


def test_a_kind_that_the_rules_lack_is_warned_of(app: MixedApp, caplog: pytest.LogCaptureFixture) -> None:
    app.start(mix=MixConfig(targets={"adz": 0.1})).close()
    assert "have the kind 'adz', which the rules do not have" in caplog.text


def test_the_exposure_and_the_price_are_one_transaction(app: MixedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the state cannot be written, the exposure is not recorded either, and can be reported again."""
    client = opened(app)
    item = client.order()[0]
    put = app.store._mixing.put

    def full(states: dict[str, KindState]) -> None:
        put(states)
        raise OSError("disk full")

    app.store._mixing.put = full  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk full"):
        app.see(client, item)
    assert (app.store.next_ordinal(EXPOSURE), app.store.mixing()) == (0, {})
    app.store._mixing.put = put  # type: ignore[method-assign]
    app.see(client, item)
    assert app.store.next_ordinal(EXPOSURE) == 1
    assert {one.shown.cards for one in app.store.mixing().values()} == {1}


KILLED = """
import sys
from pathlib import Path
from edgerec import BehaviourStore, load_device_model
from tests.device_runtime.local_cloud import read_tables
from tests.device_runtime.mixed_feed import MixedApp, mixed_model

bundle, path = Path(sys.argv[1]), sys.argv[2]
model = mixed_model(load_device_model(bundle))
with BehaviourStore(path, user_id=3, limits=model.limits) as store:
    app = MixedApp(model, store, read_tables(bundle))
    client = app.start()
    for start in range(1000, 1400, 10):
        app.offer(range(start, start + 10))
        client.refresh()
        client.run_pending()
        for item in client.order():
            app.see(client, item)
            print("seen", item, flush=True)
"""


def test_a_killed_process_loses_no_count(bundle_path: Path, tmp_path: Path) -> None:
    """What `exposed` had returned from is counted, and no exposure is there without its count."""
    path = tmp_path / "user.db"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(bundle_path), str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = 0
        for line in process.stdout:
            printed += line.startswith("seen")
            if printed == 38:
                process.send_signal(signal.SIGKILL)
                break
    with BehaviourStore(path, user_id=3) as store:
        recorded = store.next_ordinal(EXPOSURE)
        assert recorded >= 38
        states = store.mixing()
        assert {one.shown.cards for one in states.values()} == {recorded}
        assert sum(one.shown.own for one in states.values()) == recorded


def test_a_switch_to_a_version_with_other_rules(app: MixedApp, parts: tuple[Any, Any]) -> None:
    """The kinds of both versions count on; a version without rules leaves the order of its model."""
    client = opened(app)
    app.see(client, client.order()[0])
    new = replace(parts[0], mixing=mixed_model(parts[0], rules_of(kinds={"ad": {}, "product": {"gap": 1}})).mixing)
    client._reranking.use(type(client._reranking._serving)(new, app.store))
    app.model = new
    client.request("again")
    client.run_pending()
    app.see(client, client.order()[1])
    assert list(app.store.mixing()) == ["ad", "product"]
    assert app.store.mixing()["ad"].shown.cards == 2
    assert app.clock.now > START
