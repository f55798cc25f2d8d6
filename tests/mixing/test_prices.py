"""Prices: where they go above, below and inside the band of a share, and what a new period changes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.mixing.prices import KindState, after_card, moved, prices_at
from edgerec.mixing.quota import DAY_MS, SESSION_MS, Shown
from edgerec.mixing.rules import MixRules

NOON = 20_000 * DAY_MS + DAY_MS // 2


def rules(over: str = "session", share: tuple[float, float] = (0.0, 0.1)) -> MixRules:
    return MixRules.model_validate({"kinds": {"product": {}, "ad": {"share": share, "over": over}}})


@pytest.mark.parametrize(
    ("price", "own", "expected"),
    [
        (0.5, True, 0.5 + 0.1 * 0.8),  # above 0: it follows the largest share
        (0.5, False, 0.5 - 0.1 * 0.2),
        (0.01, False, 0.0),  # ... but not below 0
        (-0.3, True, -0.3 + 0.1 * 0.9),  # below 0: it follows the smallest share
        (-0.3, False, -0.3 - 0.1 * 0.1),
        (-0.01, True, 0.0),  # ... but not above 0
        (0.0, True, 0.1 * 0.8),  # from 0: the bound that the card moves it towards
        (0.0, False, -0.1 * 0.1),
    ],
)
def test_a_price_follows_the_bound_of_its_side(price: float, own: bool, expected: float) -> None:
    assert moved(price, own=own, band=(0.1, 0.2), rate=0.1) == pytest.approx(expected)


def test_a_target_replaces_the_band() -> None:
    more: dict[str, Any] = {"band": (0.1, 0.2), "rate": 0.1, "target": 0.25}
    assert moved(0.5, own=True, **more) == pytest.approx(0.575)
    assert moved(-0.5, own=False, **more) == pytest.approx(-0.525)


@given(
    st.lists(st.booleans(), max_size=200),
    st.floats(-5, 5),
    st.sampled_from([(0.0, 0.1), (0.3, 0.6), (0.2, 0.2)]),
    st.sampled_from([{}, {"ad": 0.5}]),
    st.sampled_from([0.01, 1.0]),
)
def test_prices_stay_between_the_largest_worths(
    cards: list[bool], start: float, band: tuple[float, float], targets: dict[str, float], rate: float
) -> None:
    """They also never leave their start by more than rate times the cards, and a free kind keeps its start."""
    both, states = rules(share=band), {}
    first = min(max(start, -1.0), 1.0)
    for number, own in enumerate(cards):
        states = after_card(both, states, int(own), NOON + number, start={"ad": start}, rate=rate, targets=targets)
        found = prices_at(both, states, NOON + number, start={"ad": start}, targets=targets)
        assert abs(found["ad"]) <= 1.0
        if targets:
            assert abs(found["ad"] - first) <= rate * (number + 1) + 1e-9
        assert found["product"] == 0.0
    if cards:
        assert (states["ad"].shown.own, states["ad"].shown.cards) == (sum(cards), len(cards))


@pytest.mark.parametrize(
    ("share", "targets", "own", "price"),
    [
        ((0.1, 0.4), {}, False, -3.0),  # the cloud has no ads
        ((0.0, 1.0), {"ad": 0.5}, False, -3.0),  # a target that cannot be reached
        ((0.0, 0.1), {}, True, 3.0),  # `at_least` forces ads
    ],
)
def test_a_price_that_cannot_steer_stops_at_the_largest_worth(
    share: tuple[float, float], targets: dict[str, float], own: bool, price: float
) -> None:
    both = MixRules.model_validate({"kinds": {"product": {"worth": 3}, "ad": {"share": share, "over": "user"}}})
    states: dict[str, KindState] = {}
    for number in range(1000):
        states = after_card(both, states, int(own), NOON + number, start={}, rate=0.1, targets=targets)
    assert prices_at(both, states, NOON + 1000, start={}, targets=targets)["ad"] == price


def test_a_kind_that_comes_back_does_not_fill_the_feed_for_long() -> None:
    """A price comes back from the bound after about its size / rate cards, however long the kind was away."""
    both, states, draw = rules("user", (0.1, 0.4)), {}, random.Random(3)
    for number in range(5000):
        states = after_card(both, states, 0, NOON + number, start={}, rate=0.01)
    shown = []
    for number in range(5000, 5300):
        own = draw.random() - prices_at(both, states, NOON + number, start={})["ad"] > draw.random()
        states = after_card(both, states, int(own), NOON + number, start={}, rate=0.01)
        shown.append(own)
    assert sum(shown[100:]) < 0.6 * 200


def test_without_worth_prices_are_bounded_by_one() -> None:
    both = MixRules.model_validate({"kinds": {"product": {"worth": 0}, "ad": {"worth": 0}}})
    assert prices_at(both, {}, NOON, start={"ad": 5.0, "product": -0.5}) == {"product": -0.5, "ad": 1.0}


def test_a_card_that_no_price_steered_is_only_counted() -> None:
    states = {"ad": KindState(Shown(10, 9, NOON // DAY_MS, NOON), 0.4)}
    more: dict[str, Any] = {"start": {}, "rate": 0.1, "moves": False}
    assert after_card(rules(), states, 1, NOON, **more)["ad"] == KindState(Shown(11, 10, NOON // DAY_MS, NOON), 0.4)
    later = NOON + SESSION_MS + 1
    assert after_card(rules(), states, 1, later, **more)["ad"] == KindState(Shown(1, 1, later // DAY_MS, later), 0.0)


def test_prices_hold_a_share_that_cards_would_break() -> None:
    """Each place shows an ad if its random value is above the price: without a price half of them would be ads."""
    both, states, draw = rules("user"), {}, random.Random(3)
    shown = 0
    for number in range(4000):
        price = prices_at(both, states, NOON + number, start={})["ad"]
        own = draw.uniform(-1, 1) > price
        shown += own
        states = after_card(both, states, int(own), NOON + number, start={}, rate=0.05)
    assert 0.09 <= shown / 4000 <= 0.11


@pytest.mark.parametrize(
    ("over", "later", "is_new"),
    [
        ("session", SESSION_MS, False),
        ("session", SESSION_MS + 1, True),
        ("session", -5, False),  # the clock was set back
        ("day", SESSION_MS + 1, False),
        ("day", DAY_MS // 2, True),
        ("user", 1000 * DAY_MS, False),
    ],
)
def test_a_new_period_starts_from_the_first_price_and_counts_from_zero(over: str, later: int, is_new: bool) -> None:
    both = rules(over)
    states = {"ad": KindState(Shown(10, 9, NOON // DAY_MS, NOON), 0.4)}
    at = NOON + later
    assert prices_at(both, states, at, start={"ad": 0.5})["ad"] == (0.5 if is_new else 0.9)
    after = after_card(both, states, 1, at, start={"ad": 0.5}, rate=0.1)["ad"]
    assert after.shown == (Shown(1, 1, at // DAY_MS, at) if is_new else Shown(11, 10, at // DAY_MS, at))
    assert after.drift == pytest.approx(0.09 if is_new else 0.49)


@pytest.mark.parametrize(
    ("band", "drift", "first", "expected"),
    [
        ((0.0, 0.5), 0.4, 0.3, 0.7),
        ((0.0, 0.5), 0.4, -0.3, 0.1),
        ((0.0, 0.5), -1.0, 0.2, 0.0),  # without a smallest share, no card is paid for
        ((0.0, 0.5), -0.4, -0.3, -0.3),  # ... beyond the first price
        ((0.2, 1.0), 1.0, -0.2, 0.0),  # without a largest share, no card costs anything
        ((0.2, 1.0), 0.4, 0.3, 0.3),
        ((0.2, 1.0), -0.4, 0.3, -0.1),
        ((0.2, 0.5), -0.4, 0.2, -0.2),
    ],
)
def test_a_changed_first_price_keeps_the_drift_as_far_as_the_band_allows(
    band: tuple[float, float], drift: float, first: float, expected: float
) -> None:
    both = rules(share=band)
    states = {"ad": KindState(Shown(10, 3, NOON // DAY_MS, NOON), drift)}
    assert prices_at(both, states, NOON, start={"ad": first})["ad"] == pytest.approx(expected)
    # With a target, the price follows the target alone.
    found = prices_at(both, states, NOON, start={"ad": first}, targets={"ad": 0.3})["ad"]
    assert found == pytest.approx(first + drift)
    # The next card starts from the price that holds now.
    at = after_card(both, states, 1, NOON, start={"ad": first}, rate=0.0)["ad"]
    assert first + at.drift == pytest.approx(expected)
