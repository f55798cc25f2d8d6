"""The parameters of a simulation, checked (docs/simulator.md gives each its reason)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edgerec.core.documents import read_toml
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

    bias: float = _number(-4.05, -20, 20)
    """Of a click on an average item, without intent and fatigue."""
    taste: float = _number(1.0, 0, 10)
    """Standard deviation of long-term taste over categories."""
    quality: float = _number(0.8, 0, 10)
    """Of one standard deviation of an item's quality."""
    trend: float = _number(0.5, 0, 10)
    """Amplitude of the fashion that comes and goes within days, in standard deviations of quality."""
    gender_mismatch: float = _number(0.7, 0, 10)
    """Taken off for an item made for the other gender."""
    age_distance: float = _number(0.15, 0, 10)
    """Taken off per age level between user and item."""
    price_distance: float = _number(0.1, 0, 10)
    """Taken off per squared price level between what the user likes to pay and the item's level, for a user of median
    price sensitivity."""
    price_sensitivity_spread: float = _number(0.5, 0, 3)
    """Standard deviation of the logarithm of a user's price sensitivity."""
    price_contrast: float = _number(0.35, 0, 10)
    """Taken off per price level that an item stands above what the feed has just shown."""
    price_forgetting: float = _number(0.5, 0, 1)
    """Share of what has just been shown that the next exposure replaces; 0: the user compares with what is liked."""
    intent: float = _number(3.0, 0, 50)
    """Of a category that has all of the session's intent; one with share g has sqrt(g) of it."""
    category_fatigue: float = _number(0.8, 0, 10)
    """Taken off per log(1 + exposures of the category since its last click)."""
    item_fatigue: float = _number(1.15, 0, 10)
    """Taken off for one earlier exposure of the same item, and so much times ``n ** item_fatigue_power`` for n; a click
    counts as three."""
    item_fatigue_power: float = _number(0.62, 0, 2)
    """How it grows."""
    intent_categories: int = _whole(4, 1, 100)
    """At most so many categories share a fresh intent."""
    intent_shift: float = _number(0.2, 0, 1)
    """Share of the intent that moves to the category of a page-view without any action."""
    intent_shift_action: float = _number(0.1, 0, 1)
    """Share that moves on top for each action taken on the page; in all never more than nine tenths."""
    intent_drift: float = _number(0.03, 0, 1)
    """Probability per exposure that half of the intent jumps to a category of the user's taste."""
    intent_memory_hours: float = _number(12.0, 0.001, 10_000)
    """Time constant with which the last session's intent fades between sessions."""
    fatigue_memory_hours: float = _number(2.0, 0.001, 10_000)
    """Time constant with which category fatigue fades between sessions."""
    slips: float = _number(0.12, 0, 1)
    """Probability that a click is a slip of the finger: back in a moment, intent unmoved."""
    leave: float = _number(0.04, 0.0001, 1)
    """Hazard of leaving per exposure of a user without any satisfaction."""
    patience: float = _number(3.0, 0, 100)
    """Satisfaction `s` (a running mean of clicks) multiplies the hazard by exp(-patience * s)."""
    deletes: float = _number(0.03, 0, 1)
    """Probability of deleting an item of no interest at all."""
    searches: float = _number(7.0, 0, 20)
    """Mean number of pages that a user opens by search before each page of the feed."""

    def __post_init__(self) -> None:
        _check(self, "behaviour.")


@dataclass(frozen=True)
class CloudConfig:
    """What stands before the users: recall and initial ranking; errors are standard deviations in logits.

    Raises:
        ConfigurationError: a parameter is not a finite number of its range.
    """

    page: int = _whole(50, 1, 1_000)
    """Items of a page."""
    recall: int = _whole(120, 1, 10_000)
    """Draws from which the page's items are the best by the initial ranking."""
    recall_temperature: float = _number(0.8, 0.01, 100)
    """Of drawing categories by taste: low takes the dearest, high any."""
    taste_error: float = _number(0.8, 0, 100)
    """Of the estimate of a user's taste for a category; it stays as it is."""
    item_error: float = _number(0.5, 0, 100)
    """Of the estimate of an item's quality; it stays as it is."""
    noise: float = _number(0.2, 0, 100)
    """Of one item's score on one page."""
    session: float = _number(0.6, 0, 50)
    """Weight of the session's page-views up to the request of the page, as `behaviour.intent` weighs the intent."""

    def __post_init__(self) -> None:
        _check(self, "cloud.")
        if self.recall < self.page:
            raise ConfigurationError(
                f"simulation: cloud.recall should be at least cloud.page ({self.page}); received {self.recall}"
            )


@dataclass(frozen=True)
class SimulationConfig:
    """The size of the world, the users' behaviour and the cloud in front of them.

    Raises:
        ConfigurationError: a parameter is not a finite number of its range, or two contradict each other.
    """

    users: int = _whole(16_000, 1, 100_000_000)
    items: int = _whole(800, 1, 20_000_000)
    days: int = _whole(14, 1, 3_650)
    """Length of simulated time; the last quarter is the test period."""
    start_ms: int = _whole(1_590_969_600_000, 0, MAX_TIME_MS - 3_650 * 86_400_000)
    """Beginning, in milliseconds since 1970 (2020-06-01 00:00 UTC)."""
    categories: int = _whole(16, 1, 10_000)
    brands_per_category: int = _whole(10, 1, 100_000)
    zipf: float = _number(1.0, 0, 5)
    """Exponent of the popularity of categories, of brands within theirs, and of items within their category."""
    sessions_per_user: float = _number(2.0, 1, 10_000)
    """Mean over users; quick returns come on top."""
    activity_spread: float = _number(0.6, 0, 3)
    """Standard deviation of the logarithm of activity: the long tail."""
    return_probability: float = _number(0.2, 0, 0.95)
    """That a user is back within minutes to hours of leaving."""
    pages: int = _whole(4, 1, 1_000)
    """At most so many pages a session."""
    rerank_after: int = _whole(10, 1, 1_000)
    """Exposures without a click or a removal after which the device asks for a new order."""
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)

    def __post_init__(self) -> None:
        _check(self, "")
        for name, kind in PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise ConfigurationError(
                    f"simulation: {name} should be a {kind.__name__}; received {getattr(self, name)!r}"
                )
        if self.cloud.page > self.items:
            raise ConfigurationError(
                f"simulation: cloud.page ({self.cloud.page}) should be at most items ({self.items}): "
                "raise items or lower cloud.page"
            )
        if self.categories * self.brands_per_category > MAX_BRANDS:
            raise ConfigurationError(
                f"simulation: categories x brands_per_category should be at most {MAX_BRANDS:,}; "
                f"received {self.categories * self.brands_per_category:,}"
            )

    def document(self) -> dict[str, Any]:
        """All parameters as JSON."""
        return asdict(self)


MAX_BRANDS = 100_000_000
PARTS: dict[str, type[BehaviourConfig] | type[CloudConfig]] = {"behaviour": BehaviourConfig, "cloud": CloudConfig}


def load_simulation_config(path: Path | None, overrides: Mapping[str, Any]) -> SimulationConfig:
    """Read a TOML file (or none) whose tables `behaviour` and `cloud` hold theirs, and put `overrides` over it.

    Raises:
        ConfigurationError: no such file, no TOML, an unknown parameter or a value out of range.
    """
    settings = read_toml(path) if path is not None else {}
    settings |= {name: value for name, value in overrides.items() if value is not None}
    for name, kind in PARTS.items():
        if name in settings:
            settings[name] = _made(kind, settings[name], f"{name}.")
    made: SimulationConfig = _made(SimulationConfig, settings, "")
    return made


def _made(kind: type[Any], settings: object, where: str) -> Any:
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"simulation: {where[:-1]} should be a table of parameters; received {settings!r}")
    known = [one.name for one in fields(kind)]
    for name in settings:
        if name not in known:
            raise ConfigurationError(f"simulation: there is no parameter {where}{name}; there are: {', '.join(known)}")
    return kind(**settings)
