"""What is recorded of one user in one bucket."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Totals:
    """What one user did in one period. `gmv` is what the user paid on pages opened from the feed."""

    sessions: int = 0
    pv: int = 0
    clicks: int = 0
    purchases: int = 0
    gmv: float = 0.0
    deletes: int = 0
    searches: int = 0
    orders: int = 0
    pages: int = 0


@dataclass(frozen=True)
class Shown:
    """One exposure.

    Attributes:
        session: the session.
        position: the display position in it, from 1.
        clicked: whether it was clicked.
        probability: the true click probability.
        kind, worth: of the card; None in a plain world.
        left: whether the user left after it.
        time: when it came into view, in milliseconds since 1970.
        predicted: the click probability that the device predicted when it came into view; None without a plan.
        prices: the prices of the kinds at that time, in the order of the rules; None without rules or with
            another policy than `price`.
    """

    session: int
    position: int
    clicked: bool
    probability: float
    kind: str | None = None
    worth: float | None = None
    left: bool = False
    time: int = 0
    predicted: float | None = None
    prices: list[float] | None = None


@dataclass(frozen=True)
class Place:
    """One explored place when it came into view: the request that ordered it, and the truth of what could be shown.

    Attributes:
        request_id: the request.
        place: the place in its order, from 1.
        item_ids: the next items of the order. The model's best remaining candidates are among them.
        probabilities: the true click probability of each of them, if it were shown at this place.
    """

    request_id: int
    place: int
    item_ids: list[int]
    probabilities: list[float]


@dataclass
class RequestIds:
    """Numbers of requests: each call returns the next one. `last` is the latest one."""

    last: int

    def __call__(self) -> int:
        self.last += 1
        return self.last
