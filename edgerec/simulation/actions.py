"""What users do with items: the actions of Table 1, as arrays with one entry for each user (docs/simulator.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.world import Floats, Ints

Bools = NDArray[np.bool_]

ACTIONS: dict[str, tuple[float, float]] = {
    "view_details": (-1.0, 2.0),
    "read_comments": (-1.4, 1.8),
    "choose_sku": (-3.0, 2.2),
    "add_favorite": (-3.4, 1.6),
    "add_cart": (-3.8, 2.2),
    "buy": (-6.2, 2.8),
    "customer_service": (-4.4, 1.2),
    "enter_shop": (-2.4, 1.2),
    "share": (-4.8, 1.2),
    "view_similar": (-1.6, -0.8),
}
"""Actions d2 to d11 of a page-view. The logit of an action is ``bias + weight * engagement``; the pairs are (bias,
weight). The weight of `view_similar` is negative, because less engaged users view similar items."""

REASONS = ("none", "not_interested", "seen_too_often", "bought_already", "bad_content")
"""Reasons for removing an item (e6). `Exposures.reason` holds indices into this tuple."""
NONE, NOT_INTERESTED, SEEN_TOO_OFTEN, BOUGHT_ALREADY, BAD_CONTENT = range(5)


@dataclass(frozen=True)
class Exposures:
    """What users did with exposed items: features e1 to e6 of Table 1, and the click; arrays (n,).

    Attributes:
        duration_s: seconds in view.
        looks: how often the item came into view in this exposure, scrolling back included.
        scroll_speed: screens per second, 0 without a scroll.
        scroll_duration_s: seconds spent scrolling, 0 without a scroll.
        scroll_count: number of scroll gestures.
        reason: index into `REASONS`.
        clicked: whether the user opened the item's page.
    """

    duration_s: Floats
    looks: Ints
    scroll_speed: Floats
    scroll_duration_s: Floats
    scroll_count: Ints
    reason: NDArray[np.int8]
    clicked: Bools


@dataclass(frozen=True)
class PageViews:
    """What users did on items' pages: features d1 to d11 of Table 1.

    Attributes:
        duration_s: (n,), seconds on the page.
        actions: (n, 10), 0 or 1 for each of `ACTIONS`, in the same order.
    """

    duration_s: Floats
    actions: NDArray[np.int8]


def interest_of(probability: Floats) -> Floats:
    """Map click probabilities to interest from 0 to 1. A typical click probability of 7.7 % has interest 0.5."""
    odds = probability / np.maximum(1 - probability, np.float32(1e-6))
    interest: Floats = 12 * odds / (1 + 12 * odds)
    return interest
