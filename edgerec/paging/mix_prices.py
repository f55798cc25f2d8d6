"""Prices of kinds of cards that the cloud hands out with a page, as values of the page's context (docs/mixing.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

PREFIX = "mix_price."
"""The beginning of the name of such a value. The kind follows."""
LARGEST = 1e6
"""The largest absolute value of a price."""


def price_values(prices: Mapping[str, float]) -> dict[str, float]:
    """Return the values of a page's context for these prices, by kind."""
    return {f"{PREFIX}{kind}": price for kind, price in prices.items()}


def read_prices(context: Mapping[str, Any], kinds: Iterable[str]) -> dict[str, float]:
    """Return the prices of these kinds in the context of a page. A value that is no price is left out."""
    found = {kind: context.get(f"{PREFIX}{kind}") for kind in kinds}
    return {kind: float(value) for kind, value in found.items() if is_price(value)}


def is_price(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number that a price can have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
