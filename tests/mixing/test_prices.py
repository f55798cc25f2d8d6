"""Prices: where they go above, below and inside the band of a share, and what a new period changes."""

from __future__ import annotations

import random

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
    ("price", "own", "share", "expected"),
    [
        (0.5, True, 0.4, 0.5 + 0.1 * 0.8),  # above the band: it follows the upper bound
        (0.5, False, 0.4, 0.5 - 0.1 * 0.2),
        (0.01, False, 0.4, 0.0),  # ... but not below 0
        (-0.3, False, 0.4, -0.3),
        (-0.3, True, 0.4, -0.3 + 0.1 * 0.8),
        (0.5, False, 0.05, 0.5 - 0.1 * 0.1),  # below the band: it follows the lower bound
        (0.5, True, 0.05, 0.5),
        (-0.5, True, 0.05, -0.5 + 0.1 * 0.9),
        (-0.01, True, 0.05, 0.0),  # ... but not above 0
        (0.5, True, 0.15, 0.5 - 0.1 * 0.1),  # inside: back to its start, 0.3
        (0.305, True, 0.15, 0.3),
        (0.1, False, 0.15, 0.1 + 0.1 * 0.1),
    ],
)
def test_a_price_follows_the_bound_that_the_share_breaks(
    price: float, own: bool, share: float, expected: float
) -> None:
    found = moved(price, own=own, share=share, start=0.3, band=(0.1, 0.2), rate=0.1)
    assert found == pytest.approx(expected)


def test_a_target_replaces_the_band() -> None:
    more = {"share": 0.9, "start": 0.3, "band": (0.1, 0.2), "rate": 0.1, "target": 0.25}
    assert moved(0.5, own=True, **more) == pytest.approx(0.575)
    assert moved(-0.5, own=False, **more) == pytest.approx(-0.525)


@given(st.lists(st.booleans(), max_size=200), st.floats(-2, 2), st.sampled_from([(0.0, 0.1), (0.3, 0.6), (0.2, 0.2)]))
def test_prices_stay_between_what_the_cards_allow(cards: list[bool], start: float, band: tuple[float, float]) -> None:
    """A price never leaves its start by more than rate times the cards, and a free kind keeps its start."""
    both, states = rules(share=band), {}
    for number, own in enumerate(cards):
        states = after_card(both, states, int(own), NOON + number, start={"ad": start}, rate=0.01)
    found = prices_at(both, states, NOON + len(cards), start={"ad": start})
    assert abs(found["ad"] - start) <= 0.01 * len(cards) + 1e-9
    assert found["product"] == 0.0
    if cards:
        assert (states["ad"].shown.own, states["ad"].shown.cards) == (sum(cards), len(cards))


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
    assert prices_at(both, states, at, start={"ad": 1.0})["ad"] == (1.0 if is_new else 1.4)
    after = after_card(both, states, 1, at, start={"ad": 1.0}, rate=0.1)["ad"]
    assert after.shown == (Shown(1, 1, at // DAY_MS, at) if is_new else Shown(11, 10, at // DAY_MS, at))
    assert after.drift == pytest.approx(0.09 if is_new else 0.49)


def test_a_changed_first_price_keeps_the_drift() -> None:
    states = {"ad": KindState(Shown(10, 9, NOON // DAY_MS, NOON), 0.4)}
    assert prices_at(rules(), states, NOON, start={"ad": 2.0})["ad"] == 2.4
