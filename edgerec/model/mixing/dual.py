"""Prices by the dual: the prices at which the best plans of many requests show each kind as often as the rules say.

The best plans of all requests under one share are those that each request would choose alone, if every card of the
kind cost its Lagrange multiplier (its price). So one number for each kind couples all requests, and a device can use it
without knowing the other requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.rules import MixRules

Floats = NDArray[np.float64]
ROUNDS, STEPS = 2, 9
CLOSE = 0.002
"""A share is reached if it is this close to its bound."""


def find_prices(
    shares_at: Callable[[Floats], Floats], rules: MixRules, *, start: Sequence[float] | None = None
) -> Floats:
    """Return the price (kinds,) of each kind.

    A kind above its largest share gets a positive price, one below its smallest share a negative one, and any other
    kind the price 0. Prices of several kinds depend on each other, so they are found in a few rounds.

    Args:
        shares_at: returns the shares (kinds,) of shown cards that the plans have at given prices (kinds,).
        rules: the rules.
        start: prices to start from. Default: 0.
    """
    prices = np.zeros(len(rules.names)) if start is None else np.array(start, np.float64)
    known: dict[tuple[float, ...], Floats] = {}

    def shares(at: Floats) -> Floats:
        key = tuple(at.tolist())
        if key not in known:
            known[key] = shares_at(at)
        return known[key]

    largest = max(max(kind.worth for kind in rules.kinds.values()), 1e-9)
    for _ in range(ROUNDS):
        before = prices.copy()
        for index, kind in enumerate(rules.kinds.values()):
            if kind.share != (0.0, 1.0):
                prices[index] = _price(shares, prices, index, kind.share, largest)
        if np.abs(prices - before).max() <= 1e-3 * largest:
            break
    return prices


def _price(
    shares_at: Callable[[Floats], Floats], prices: Floats, index: int, band: tuple[float, float], largest: float
) -> float:
    """Return the price of one kind, with the prices of the others as they are."""

    def share(price: float) -> float:
        changed = prices.copy()
        changed[index] = price
        return float(shares_at(changed)[index])

    free = share(0.0)
    if band[0] - CLOSE <= free <= band[1] + CLOSE:
        return 0.0
    target = band[1] if free > band[1] else band[0]
    # The share falls as the price rises.
    low, high = (0.0, largest) if free > band[1] else (-largest, 0.0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        found = share(middle)
        if abs(found - target) <= CLOSE / 4:
            return middle
        low, high = (middle, high) if found > target else (low, middle)
    return (low + high) / 2
