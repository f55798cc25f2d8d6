"""The parameters of a simulation, checked (docs/simulator.md gives each its reason)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from edgerec.core.errors import ConfigurationError

MAX_TIME_MS = 4_000_000_000_000
"""2096-10-02: simulated time starts before it, so that logs stay inside their own limit of 2100-01-01."""


def _whole(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"whole": True, "low": low, "high": high})


def _number(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"whole": False, "low": low, "high": high})


def _check(part: object, where: str) -> None:
    """Hold each field of the dataclass `part` to its metadata.

    Raises:
        ConfigurationError: the first field of another type, not finite, or out of its range.
    """
    for one in fields(part):  # type: ignore[arg-type]
        if "whole" not in one.metadata:
            continue
        check_number(f"{where}{one.name}", getattr(part, one.name), **one.metadata)


def check_number(name: str, value: object, *, whole: bool, low: float, high: float) -> None:
    """Refuse a parameter that is no (whole) number from `low` to `high`; booleans and NaN are none.

    Raises:
        ConfigurationError: names the parameter, its range and what was received.
    """
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    right = isinstance(value, kinds) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        kind = "a whole number" if whole else "a number"
        raise ConfigurationError(f"simulation: {name} should be {kind} from {low} to {high}; received {value!r}")


@dataclass(frozen=True)
class BehaviourConfig:
    """How users decide; weights are in logits of the click probability where nothing else is said.

    Raises:
        ConfigurationError: a parameter is not a finite number of its range.
    """

    bias: float = _number(-4.0, -20, 20)
    """Of a click on an average item, without intent and fatigue."""
    taste: float = _number(1.0, 0, 10)
    """Standard deviation of long-term taste over categories."""
    quality: float = _number(0.6, 0, 10)
    """Of one standard deviation of an item's quality."""
    gender_mismatch: float = _number(0.7, 0, 10)
    """Taken off for an item made for the other gender."""
    age_distance: float = _number(0.15, 0, 10)
    """Taken off per age level between user and item."""
    price_distance: float = _number(0.06, 0, 10)
    """Taken off per squared price level between what the user likes to pay and the item's level."""
    intent: float = _number(4.5, 0, 50)
    """Of a category that has all of the session's intent; one with share g has sqrt(g) of it."""
    category_fatigue: float = _number(0.5, 0, 10)
    """Taken off per log(1 + exposures of the category since its last click)."""
    item_fatigue: float = _number(0.5, 0, 10)
    """Taken off per earlier exposure of the same item; a click counts as three."""
    intent_categories: int = _whole(3, 1, 100)
    """At most so many categories share a fresh intent."""
    intent_shift: float = _number(0.4, 0, 1)
    """Share of the intent that moves to the category of a page-view."""
    slips: float = _number(0.12, 0, 1)
    """Probability that a click is a slip of the finger: back in a moment, intent unmoved."""
    intent_drift: float = _number(0.01, 0, 1)
    """Probability per exposure that half of the intent jumps to a category of the user's taste."""
    intent_memory_hours: float = _number(12.0, 0.001, 10_000)
    """Time constant with which the last session's intent fades between sessions."""
    fatigue_memory_hours: float = _number(2.0, 0.001, 10_000)
    """Time constant with which category fatigue fades between sessions."""
    leave: float = _number(0.024, 0.0001, 1)
    """Hazard of leaving per exposure of a user without any satisfaction."""
    patience: float = _number(4.0, 0, 100)
    """Satisfaction `s` (a running mean of clicks) multiplies the hazard by exp(-patience * s)."""
    deletes: float = _number(0.03, 0, 1)
    """Probability of deleting an item of no interest at all."""

    def __post_init__(self) -> None:
        _check(self, "behaviour.")


@dataclass(frozen=True)
class SimulationConfig:
    """The size of the world, the cloud in front of it, and its behaviour.

    Raises:
        ConfigurationError: a parameter is not a finite number of its range, or two contradict each other.
    """

    users: int = _whole(340, 1, 10_000_000)
    items: int = _whole(2_000, 1, 10_000_000)
    days: int = _whole(14, 1, 3_650)
    """Length of simulated time; the last quarter is the test period."""
    start_ms: int = _whole(1_590_969_600_000, 0, MAX_TIME_MS - 3_650 * 86_400_000)
    """Beginning, in milliseconds since 1970 (2020-06-01 00:00 UTC)."""
    categories: int = _whole(40, 1, 10_000)
    brands_per_category: int = _whole(10, 1, 10_000)
    zipf: float = _number(0.8, 0, 5)
    """Exponent of the popularity of categories, and of brands within theirs."""
    sessions_per_user: float = _number(1.8, 1, 10_000)
    """Mean over users; quick returns come on top."""
    activity_spread: float = _number(0.8, 0, 3)
    """Standard deviation of the logarithm of activity: the long tail."""
    return_probability: float = _number(0.25, 0, 0.95)
    """That a user is back within minutes to hours of leaving."""
    candidates: int = _whole(50, 1, 1_000)
    """Items of a page."""
    pages: int = _whole(6, 1, 1_000)
    """At most so many pages a session."""
    rerank_every: tuple[int, int] = (10, 20)
    """Fewest and most exposures from one re-rank opportunity to the next; drawn uniformly, whatever the user does."""
    recall_temperature: float = _number(1.6, 0.01, 100)
    """Of drawing a page's candidates by the cloud's estimate: low takes the best, high anything."""
    cloud_noise: float = _number(0.3, 0, 100)
    """Standard deviation, in logits, of the cloud's error about an item."""
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)

    def __post_init__(self) -> None:
        _check(self, "")
        if not isinstance(self.behaviour, BehaviourConfig):
            raise ConfigurationError(f"simulation: behaviour should be a BehaviourConfig; received {self.behaviour!r}")
        if not isinstance(self.rerank_every, tuple) or len(self.rerank_every) != 2:
            raise ConfigurationError(
                f"simulation: rerank_every should be a pair (fewest, most); received {self.rerank_every!r}"
            )
        fewest, most = self.rerank_every
        check_number("rerank_every[0]", fewest, whole=True, low=1, high=1_000)
        check_number("rerank_every[1]", most, whole=True, low=fewest, high=1_000)
        if self.candidates > self.items:
            raise ConfigurationError(
                f"simulation: candidates ({self.candidates}) should be at most items ({self.items}): "
                "raise items or lower candidates"
            )
