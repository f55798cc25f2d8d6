"""The price of each kind: what showing one of its cards costs. It moves with the cards that the user sees.

A plan maximises its value minus the prices of its cards. So a price says what a place is worth to other cards, and a
kind with a largest share gets the places where it is worth most, on whatever page they are. This is dual ascent on the
share, one card at a time: ``price <- price + rate * ([the card is of the kind] - share)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import copysign

from edgerec.mixing.quota import Shown
from edgerec.mixing.rules import MixRules


@dataclass(frozen=True)
class KindState:
    """What a device remembers of one kind.

    Attributes:
        shown: the cards that the user has seen in the running period.
        drift: the price minus the price that it started with.
    """

    shown: Shown = field(default_factory=Shown)
    drift: float = 0.0


States = Mapping[str, KindState]
"""The state of each kind. A kind that is absent has `KindState()`."""
NEW = KindState()


def moved(
    price: float,
    *,
    own: bool,
    share: float,
    start: float,
    band: tuple[float, float],
    rate: float,
    target: float | None = None,
) -> float:
    """Return the price of a kind after the user has seen one more card.

    - Above the band, the price follows its upper bound, and does not fall below 0 (or further below it).
    - Below the band, it follows the lower bound, and does not rise above 0 (or further above it).
    - Inside the band, it returns to its start, by at most ``rate * (high - low)`` a card.
    - With a target, it follows the target, without bounds.

    Args:
        price: the price so far.
        own: whether the card is of this kind.
        share: the share of the kind in the period, with this card.
        start: the price that the period started with.
        band: the smallest and the largest share.
        rate: the step.
        target: the share to aim at instead of the band.
    """
    if target is not None:
        return price + rate * (own - target)
    low, high = band
    if share > high:
        return max(price + rate * (own - high), min(price, 0.0))
    if share < low:
        return min(price + rate * (own - low), max(price, 0.0))
    step = rate * (high - low)
    return start if abs(start - price) <= step else price + copysign(step, start - price)


def after_card(
    rules: MixRules,
    states: States,
    kind: int,
    time: int,
    *,
    start: Mapping[str, float],
    rate: float,
    targets: Mapping[str, float] | None = None,
) -> dict[str, KindState]:
    """Return the states of all kinds after the user has seen one card.

    Args:
        rules: the rules.
        states: the states so far.
        kind: the kind of the card, an index into `rules.names`.
        time: when the user saw it, in milliseconds since 1970.
        start: the price of each kind at the start of a period.
        rate: the step of prices.
        targets: by kind, the share to aim at instead of the band of the rules.
    """
    new = {}
    for index, (name, each) in enumerate(rules.kinds.items()):
        before, own = states.get(name, NEW), index == kind
        shown = before.shown.after(each.over, time, own=own)
        first = start.get(name, 0.0)
        price = first + (0.0 if before.shown.is_over(each.over, time) else before.drift)
        price = moved(
            price,
            own=own,
            share=shown.share,
            start=first,
            band=each.share,
            rate=rate,
            target=(targets or {}).get(name),
        )
        new[name] = KindState(shown, price - first)
    return new


def prices_at(rules: MixRules, states: States, time: int, *, start: Mapping[str, float]) -> dict[str, float]:
    """Return the price of each kind at a time. A period that is over has no effect on them."""
    found = {}
    for name, kind in rules.kinds.items():
        state = states.get(name, NEW)
        drift = 0.0 if state.shown.is_over(kind.over, time) else state.drift
        found[name] = start.get(name, 0.0) + drift
    return found
