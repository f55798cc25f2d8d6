"""The price of each kind: what showing one of its cards costs. It moves with the cards that the user sees.

A plan maximises its value minus the prices of its cards. So a price says what a place is worth to other cards, and a
kind with a largest share gets the places where it is worth most, on whatever page they are. This is dual ascent on the
share, one card at a time: ``price <- price + rate * ([the card is of the kind] - share)``.

A price is between minus and plus the largest worth of the rules. Above that it excludes a kind already, and below it
forces the kind. Without this bound, the price of a kind that the cloud does not offer would fall for ever, and when the
kind comes back, hundreds of places would be filled with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgerec.mixing.quota import Shown
from edgerec.mixing.rules import KindRules, MixRules


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


def moved(price: float, *, own: bool, band: tuple[float, float], rate: float, target: float | None = None) -> float:
    """Return the price of a kind after the user has seen one more card.

    - A positive price follows the largest share, and stops at 0: ``max(0, price + rate * (own - high))``.
    - A negative price follows the smallest share, and stops at 0: ``min(0, price + rate * (own - low))``.
    - From 0, it follows the bound that the card moves it towards.
    - With a target, it follows the target, whatever its sign.

    Args:
        price: the price so far.
        own: whether the card is of this kind.
        band: the smallest and the largest share.
        rate: the step.
        target: the share to aim at instead of the band.
    """
    if target is not None:
        return price + rate * (own - target)
    low, high = band
    up = max(price + rate * (own - high), 0.0) if price >= 0 else 0.0
    down = min(price + rate * (own - low), 0.0) if price <= 0 else 0.0
    return up + down


def largest_price(rules: MixRules) -> float:
    """Return the largest size of a price: the largest worth of a click, or 1 if no click is worth anything."""
    return max(kind.worth for kind in rules.kinds.values()) or 1.0


def _bounded(price: float, most: float) -> float:
    return min(max(price, -most), most)


def _at(
    state: KindState, each: KindRules, time: int, *, first: float, most: float, target: float | None = None
) -> float:
    """Return the price of a kind at a time.

    The drift may come from another first price. So a kind without a smallest share has no negative price, and a kind
    without a largest share no positive one, unless its first price is.
    """
    if state.shown.is_over(each.over, time):
        return first
    price, (low, high) = first + state.drift, each.share
    if target is None and low == 0:
        price = max(price, min(first, 0.0))
    if target is None and high == 1:
        price = min(price, max(first, 0.0))
    return _bounded(price, most)


def after_card(
    rules: MixRules,
    states: States,
    kind: int,
    time: int,
    *,
    start: Mapping[str, float],
    rate: float,
    targets: Mapping[str, float] | None = None,
    moves: bool = True,
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
        moves: whether prices move. A card that no price brought to its place is only counted.
    """
    new, most = {}, largest_price(rules)
    for index, (name, each) in enumerate(rules.kinds.items()):
        before, own = states.get(name, NEW), index == kind
        shown = before.shown.after(each.over, time, own=own)
        if not moves:
            new[name] = KindState(shown, 0.0 if before.shown.is_over(each.over, time) else before.drift)
            continue
        first, target = _bounded(start.get(name, 0.0), most), (targets or {}).get(name)
        price = moved(
            _at(before, each, time, first=first, most=most, target=target),
            own=own,
            band=each.share,
            rate=rate,
            target=target,
        )
        new[name] = KindState(shown, _bounded(price, most) - first)
    return new


def prices_at(
    rules: MixRules,
    states: States,
    time: int,
    *,
    start: Mapping[str, float],
    targets: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return the price of each kind at a time. A period that is over has no effect on them.

    Arguments are those of `after_card`.
    """
    found, most = {}, largest_price(rules)
    for name, kind in rules.kinds.items():
        first, target = _bounded(start.get(name, 0.0), most), (targets or {}).get(name)
        found[name] = _at(states.get(name, NEW), kind, time, first=first, most=most, target=target)
    return found
