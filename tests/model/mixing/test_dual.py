"""Prices by the dual."""

from __future__ import annotations

import numpy as np
import pytest

from edgerec.mixing.rules import MixRules, parse_rules
from edgerec.model.mixing.dual import find_prices


def _rules(**bands: list[float]) -> MixRules:
    kinds = {name: {"worth": 3.0, "share": band} for name, band in bands.items()}
    return parse_rules({"kinds": {"product": {}, **kinds}}, where="test")


class _Market:
    """Requests of 10 places each, where a card of a kind is shown if its value is above that of a product."""

    def __init__(self, kinds: int) -> None:
        rng = np.random.default_rng(5)
        self.values = rng.exponential(0.5, (400, 10, kinds))

    def shares_at(self, prices: np.ndarray) -> np.ndarray:
        best = np.argmax(self.values - prices, axis=2)
        return np.bincount(best.ravel(), minlength=self.values.shape[2]) / best.size


def test_a_kind_above_its_share_gets_the_price_that_brings_it_down() -> None:
    market = _Market(2)
    prices = find_prices(market.shares_at, _rules(ad=[0, 0.1]))
    assert prices[0] == 0
    assert prices[1] > 0
    assert abs(market.shares_at(prices)[1] - 0.1) < 0.005


def test_a_kind_below_its_share_gets_a_bonus() -> None:
    market = _Market(3)
    prices = find_prices(market.shares_at, _rules(video=[0.5, 1], ad=[0, 0.1]))
    shares = market.shares_at(prices)
    assert prices[1] < 0 < prices[2]
    assert abs(shares[1] - 0.5) < 0.02
    assert abs(shares[2] - 0.1) < 0.02


def test_a_kind_within_its_band_costs_nothing() -> None:
    assert find_prices(_Market(2).shares_at, _rules(ad=[0.2, 0.8])).tolist() == [0, 0]


@pytest.mark.parametrize("band", [[0.0, 0.05], [0.0, 0.3]])
def test_no_other_plan_of_the_same_share_is_worth_more(band: list[float]) -> None:
    """At the price of the dual, the shown ads are those with the largest gain over all requests."""
    market = _Market(2)
    prices = find_prices(market.shares_at, _rules(ad=band))
    gains = market.values[..., 1] - market.values[..., 0]
    shown = gains > prices[1]
    best = np.sort(gains.ravel())[::-1][: int(shown.sum())].sum()
    assert gains[shown].sum() == pytest.approx(best)
