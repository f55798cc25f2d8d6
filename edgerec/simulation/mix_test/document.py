"""The statistics of a test of policies as parts of the document of `edgerec abtest --mix --json`.

A figure that the data cannot give is None, never NaN.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from edgerec.simulation.ab_test.document import Interval, Part


class Share(Part):
    """The share of one kind in the cards that users saw. `goal` is the share that was aimed at, `bounds` the rules'."""

    share: float | None
    ci95: Interval | None
    goal: float | None
    bounds: tuple[float, float]


class Policy(Part):
    """The users of one policy. Numbers are means for each user if nothing else is said.

    Attributes:
        users: number of users.
        sessions: sessions.
        cards: cards that the user saw.
        value: true click probability times worth, summed over cards.
        value_at_share: `value` at the shares that were aimed at. It is not corrected for kinds without a rate.
        realised: clicks times worth.
        clicks: clicks.
        click_rate: clicks of all users divided by their cards.
        cards_per_session: cards of all users divided by their sessions.
        exits: share of the sessions that the user left before the end of the feed.
        exits_per_card: the same sessions divided by all cards: how likely a card ends the session.
        shares: by kind.
    """

    users: int
    sessions: float
    cards: float
    value: float
    value_at_share: float
    realised: float
    clicks: float
    click_rate: float | None
    cards_per_session: float | None
    exits: float | None
    exits_per_card: float | None
    shares: dict[str, Share]


class Change(Part):
    """A relative change (0.05: 5 % more), its 95 % confidence interval, and the two-sided p-value of no change."""

    mean: float | None
    ci95: Interval | None
    p: float | None


class Comparison(Part):
    """The changes of `policy` against the policy `against`."""

    policy: str
    against: str
    change: dict[str, Change]


class Cards(Part):
    """Cards, and the share of each kind in them."""

    cards: int
    shares: dict[str, float]


class Day(Cards):
    """The cards of a day, counted from 1."""

    day: int


class CardRange(Cards):
    """The cards from number `from` to number `to` of each user, counted over sessions. `to` is None in the last one."""

    first: int = Field(alias="from")
    last: int | None = Field(alias="to")


class Lengths(CardRange):
    """Sessions with `from` to `to` cards. `errors`: mean distance of a session's share to the goal."""

    sessions: int
    errors: dict[str, float | None]


class DayPrices(Part):
    """The mean price of each kind on a day."""

    day: int
    prices: dict[str, float]


class CardPrices(Part):
    """The mean price of each kind at the cards from number `from` to number `to` of each user."""

    first: int = Field(alias="from")
    last: int | None = Field(alias="to")
    prices: dict[str, float]


class Place(Part):
    """The number of cards that users saw at a place of the list, and how many of each kind."""

    place: int
    cards: int
    of: dict[str, int]


class Predicted(Part):
    """Predicted and true value of a card, and their ratio; `refitted`: the ratio after a second calibration."""

    cards: int
    predicted: float | None
    true: float | None
    ratio: float | None
    ci95: Interval | None
    refitted: float | None
    refitted_ci95: Interval | None


class MixAnalysis(Part):
    """All statistics of a test of policies.

    Attributes:
        control: the first policy.
        primary: the metric that decides.
        kinds: the kinds, in the order of the rules.
        goals: by kind, the share that all policies were set to. A kind without a goal keeps its bounds.
        policies, comparisons: see the parts.
        rates: by kind with a goal, the value for each card more of it, at which `value_at_share` is computed. None if
            the pilot runs were too much alike to say it. Then `value_at_share` is not corrected for this kind.
        days, cards, lengths, places: shares over days, over a user's cards, by length of session, and by place.
        day_prices, card_prices: prices over days and over a user's cards. Empty for policies that are not set by
            prices.
        predicted: predicted against true value, by policy and kind, `all` for all kinds.
    """

    control: str
    primary: str
    kinds: list[str]
    goals: dict[str, float]
    policies: dict[str, Policy]
    comparisons: list[Comparison]
    rates: dict[str, float | None]
    days: dict[str, list[Day]]
    cards: dict[str, list[CardRange]]
    lengths: dict[str, list[Lengths]]
    places: dict[str, list[Place]]
    day_prices: dict[str, list[DayPrices]]
    card_prices: dict[str, list[CardPrices]]
    predicted: dict[str, dict[str, Predicted]]

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document."""
        return self.model_dump(mode="json", by_alias=True)
