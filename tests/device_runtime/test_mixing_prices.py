"""Counts and prices of a mixed feed through the real client: what moves them, and when they hold."""

from __future__ import annotations

from typing import Any

import pytest

from edgerec.device_runtime.budget import Budget
from edgerec.features.behaviours import EXPOSURE
from edgerec.mixing.config import MixConfig
from edgerec.mixing.prices import KindState
from edgerec.mixing.quota import DAY_MS, SESSION_MS, Shown
from tests.device_runtime.mixed_feed import EARLY, ITEMS, MixedApp, ads, mixed_model, opened, rules_of


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


def test_a_card_on_the_screen_at_a_refresh_counts_in_its_old_list(app: MixedApp) -> None:
    """So the same card counts again when the user has seen it in the new list."""
    client = opened(app)
    item = client.order()[0]
    client.shown(item)
    app.offer(range(1000, 1010))
    client.refresh()
    client.run_pending()
    app.clock.now += 1000
    client.exposed(item, {"duration_s": 1.0})
    app.see(client, item)
    client.exposed(item, {"duration_s": 1.0})
    assert {one.shown.cards for one in app.store.mixing().values()} == {2}


ALWAYS_MOVES: dict[str, Any] = {"product": {}, "video": {"share": (0.5, 0.6)}, "ad": {"share": (0.5, 0.6)}}
"""No kind but `product` can be seen once without a price that moves: each card is a product at first."""


@pytest.mark.parametrize("policy", ["off", "fixed", "page", "greedy", "price"])
@pytest.mark.parametrize("shadow", [False, True])
def test_prices_move_only_if_they_steer(app: MixedApp, parts: tuple[Any, Any], policy: Any, shadow: bool) -> None:
    """Otherwise a client that is switched to `price` would begin with prices that answer to another order."""
    app.model = mixed_model(parts[0], rules_of(kinds=ALWAYS_MOVES))
    client = opened(app, mix=MixConfig(policy=policy), shadow=shadow)
    first = client.order()[0]
    app.see(client, first)
    states = app.store.mixing()
    assert {one.shown.cards for one in states.values()} == {1}
    assert any(one.drift for one in states.values()) == (policy == "price" and not shadow)
    prices = client.mix_prices()
    assert (prices != {}) == (policy == "price")


def test_prices_do_not_move_with_an_order_that_is_not_mixed(app: MixedApp, parts: tuple[Any, Any]) -> None:
    """A card that a plan brought to its place counts as such, also if a later order is not mixed."""
    app.model = mixed_model(parts[0], rules_of(kinds=ALWAYS_MOVES))
    client = opened(app)
    first = client.order()[0]
    client.shown(first)
    client._mixing._budget = Budget(0.0)
    client.request("again")
    client.run_pending()
    app.see(client, client.order()[1])
    states = app.store.mixing()
    assert ({one.shown.cards for one in states.values()}, {one.drift for one in states.values()}) == ({1}, {0.0})
    app.see(client, first)
    assert any(one.drift for one in app.store.mixing().values())
    assert [row["outcome"][:21] for row in app.requests(client)] == ["mixed", "reordered, not mixed:"]


def test_a_first_price_of_the_cloud_that_falls_pays_for_no_card_above_its_share(app: MixedApp) -> None:
    now = app.clock.now
    app.store._mixing.put({"ad": KindState(Shown(10, 5, now // DAY_MS, now), -1.0)})
    app.cloud.context = {"mix_price.ad": 0.2}
    client = opened(app)
    assert client.mix_prices()["ad"] == 0.0
    client.close()
