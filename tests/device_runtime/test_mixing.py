"""A mixed feed through the real client: rules, frozen cards, other modes, and what is logged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgerec import DeviceModel
from edgerec.core.errors import ConfigurationError
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.mixing.config import MixConfig
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.settings import MixSettings
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.violations import violations
from tests.device_runtime.mixed_feed import ITEMS, START, MixedApp, ads, mixed_model, opened, rules_of


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


def test_cards_of_an_unknown_kind_count_as_unknown(app: MixedApp) -> None:
    """They count once, also when a later page brings nothing new or takes them over."""
    app.items = {**ITEMS, **{item: {**ITEMS[item], "card_kind": kind} for item, kind in ((1003, "game"), (1004, None))}}
    app.__post_init__()
    client = opened(app)
    assert client.unknown_kinds == 2
    page = client._feed.latest
    assert page is not None
    # The first page of another version may bring only cards that are in the list.
    client._feed.extend_anew(page.take([0, 3]), complete=False, unseen=client._feed.unseen())
    client.request("again")
    client.run_pending()
    assert client.unknown_kinds == 2
    first = client.order()[0]
    app.see(client, first)
    app.see(client, 1003)
    assert first not in (1003, 1004)
    assert ITEMS[first]["card_kind"] == "product"
    counted = app.store.mixing()
    assert (counted["product"].shown.own, counted["video"].shown.own, counted["ad"].shown.own) == (2, 0, 0)
    assert {row["outcome"] for row in app.requests(client)} == {"mixed"}


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


@pytest.mark.parametrize("shadow", [False, True])
@pytest.mark.parametrize("columns", [("card_kind", "advertiser"), ()])
def test_surplus_stays_where_nothing_is_mixed(app: MixedApp, columns: tuple[str, ...], shadow: bool) -> None:
    """In shadow mode the user would see other cards, and without kinds all cards are of the unknown kind."""
    app.columns = columns
    app.__post_init__()
    kinds = {"product": {"at_most": 1}, "video": {}, "ad": {"at_most": 1}}
    app.model = replace(app.model, mixing=MixSettings(rules=rules_of(kinds=kinds)))
    client = app.start(page=4, fetch=20, prefetch=1, shadow=shadow)
    app.offer(range(1000, 1020))
    client.refresh()
    client.run_pending()
    client._cloud.drop_surplus(10)
    kept = set(client._feed.held()) == set(range(1000, 1020))
    assert kept == (shadow or not columns)
    client.close()


def test_wrong_configurations_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="client: `mix` should be MixConfig"):
        ClientConfig(mix={"policy": "price"})  # type: ignore[arg-type]


def test_a_kind_that_the_rules_lack_is_warned_of(app: MixedApp, caplog: pytest.LogCaptureFixture) -> None:
    app.start(mix=MixConfig(targets={"adz": 0.1})).close()
    assert "have the kind 'adz', which the rules do not have" in caplog.text


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
