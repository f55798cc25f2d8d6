"""The parameters of a simulation and their limits. docs/simulator.md gives the reason for each default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from edgerec.core.documents import read_toml
from edgerec.core.errors import ConfigurationError
from edgerec.core.text import did_you_mean
from edgerec.simulation.mixed.config import MixedConfig
from edgerec.simulation.parameters import check_parameters, integer, number

MAX_TIME_MS = 4_000_000_000_000
"""2096-10-02. Simulated time must end before this date, because times in logs must be before 2100-01-01."""


@dataclass(frozen=True)
class BehaviourConfig:
    """How users decide. Weights and penalties are in logits of the click probability.

    Raises:
        ConfigurationError: a parameter is not a finite number in its range.
    """

    bias: float = number(-4.05, -20, 20)
    """Logit of a click on an average item, without intent and fatigue."""
    taste: float = number(1.0, 0, 10)
    """Standard deviation of a user's long-term taste over categories."""
    quality: float = number(0.8, 0, 10)
    """Logits for each standard deviation of an item's quality."""
    trend: float = number(0.5, 0, 10)
    """Amplitude of an item's fashion, in standard deviations of quality. Fashion is a sine wave over several days."""
    gender_mismatch: float = number(0.7, 0, 10)
    """Penalty for an item made for the other gender."""
    age_distance: float = number(0.15, 0, 10)
    """Penalty for each age level between user and item."""
    price_distance: float = number(0.1, 0, 10)
    """Penalty for the squared distance between the user's preferred price level and the item's, for a user of median
    price sensitivity."""
    price_sensitivity_spread: float = number(0.5, 0, 3)
    """Standard deviation of the logarithm of a user's price sensitivity."""
    price_contrast: float = number(0.35, 0, 10)
    """Penalty for each price level that an item is above the reference price level, a running mean of shown items."""
    price_forgetting: float = number(0.5, 0, 1)
    """Weight of the last shown item in the reference price level. With 0, the reference never changes."""
    intent: float = number(3.0, 0, 50)
    """Weight of the intent, in logits. A category with the share g of the session's intent gets sqrt(g) times this."""
    category_fatigue: float = number(0.8, 0, 10)
    """Penalty for a category with n exposures since its last click. It is multiplied by log(1 + n)."""
    item_fatigue: float = number(1.15, 0, 10)
    """Penalty for an item with n earlier exposures. It is multiplied by ``n ** item_fatigue_power``. A click counts as
    three exposures."""
    item_fatigue_power: float = number(0.62, 0, 2)
    """Exponent of the number of earlier exposures in the penalty `item_fatigue`."""
    intent_categories: int = integer(4, 1, 100)
    """Maximum number of categories in a new session's intent."""
    intent_shift: float = number(0.2, 0, 1)
    """Share of the intent that moves to the category of a page-view without any action."""
    intent_shift_action: float = number(0.1, 0, 1)
    """Additional share of the intent that moves for each action on the page. The total is at most 0.9."""
    intent_drift: float = number(0.03, 0, 1)
    """Probability, for each exposure, that half of the intent moves to a random category that fits the user's taste."""
    intent_memory_hours: float = number(12.0, 0.001, 10_000)
    """Time constant of the exponential decay of intent between sessions."""
    fatigue_memory_hours: float = number(2.0, 0.001, 10_000)
    """Time constant of the exponential decay of category fatigue between sessions."""
    slips: float = number(0.12, 0, 1)
    """Probability that a click is a mistake. The user returns at once, and the intent does not change."""
    leave: float = number(0.04, 0.0001, 1)
    """Probability, for each exposure, that a user without any satisfaction leaves."""
    patience: float = number(3.0, 0, 100)
    """The probability of leaving is multiplied by exp(-patience * s). Satisfaction s is a running mean of clicks."""
    deletes: float = number(0.03, 0, 1)
    """Probability that a user deletes an item in which the user has no interest."""
    searches: float = number(7.0, 0, 20)
    """Mean number of item pages that a user opens by search before each page of the feed."""

    def __post_init__(self) -> None:
        check_parameters(self, "behaviour.")


@dataclass(frozen=True)
class CloudConfig:
    """The cloud: recall and initial ranking. All errors are standard deviations in logits.

    Raises:
        ConfigurationError: a parameter is not a finite number in its range.
    """

    page: int = integer(50, 1, 1_000)
    """Number of items on a page."""
    recall: int = integer(120, 1, 10_000)
    """Number of items that recall draws for a page. Initial ranking keeps the best of them."""
    recall_temperature: float = number(0.8, 0.01, 100)
    """Softmax temperature for drawing categories. A low value gives more items of the user's favourite categories."""
    taste_error: float = number(0.8, 0, 100)
    """Error of the estimate of a user's taste for a category. It is drawn once."""
    item_error: float = number(0.5, 0, 100)
    """Error of the estimate of an item's quality. It is drawn once."""
    noise: float = number(0.2, 0, 100)
    """Error of an item's score. It is drawn again for each page."""
    session: float = number(0.6, 0, 50)
    """Weight of a category's share of the page-views in this session before the page was requested."""

    def __post_init__(self) -> None:
        check_parameters(self, "cloud.")
        if self.recall < self.page:
            raise ConfigurationError(
                f"simulation: cloud.recall should be at least cloud.page ({self.page}); received {self.recall}"
            )


@dataclass(frozen=True)
class SimulationConfig:
    """The size of the simulated world, the behaviour of its users and the cloud.

    Raises:
        ConfigurationError: a parameter is not a finite number in its range, or two parameters contradict each other.
    """

    users: int = integer(16_000, 1, 100_000_000)
    items: int = integer(800, 1, 20_000_000)
    days: int = integer(14, 1, 3_650)
    """Length of simulated time in days. The last quarter is the test period."""
    start_ms: int = integer(1_590_969_600_000, 0, MAX_TIME_MS - 3_650 * 86_400_000)
    """Start of simulated time in milliseconds since 1970 (2020-06-01 00:00 UTC)."""
    categories: int = integer(16, 1, 10_000)
    brands_per_category: int = integer(10, 1, 100_000)
    zipf: float = number(1.0, 0, 5)
    """Exponent of Zipf's law for categories, for brands within a category and for items within a category."""
    sessions_per_user: float = number(2.0, 1, 10_000)
    """Mean number of planned sessions of a user. Sessions by `return_probability` are additional."""
    activity_spread: float = number(0.6, 0, 3)
    """Standard deviation of the logarithm of a user's activity. A larger value gives a longer tail."""
    return_probability: float = number(0.2, 0, 0.95)
    """Probability that a user comes back within minutes or hours after a session."""
    pages: int = integer(4, 1, 1_000)
    """Maximum number of pages in a session."""
    rerank_after: int = integer(10, 1, 1_000)
    """Number of exposures without a click or a removal after which the device requests a re-rank."""
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    mix: MixedConfig | None = None
    """Cards of several kinds in one feed; None: a plain world."""

    def __post_init__(self) -> None:
        check_parameters(self, "")
        for name, expected in SECTIONS.items():
            if not isinstance(getattr(self, name), expected) and (name != "mix" or self.mix is not None):
                raise ConfigurationError(
                    f"simulation: {name} should be a {expected.__name__}; received {getattr(self, name)!r}"
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
        """Return all parameters as a JSON document. A plain world has no `mix`, as before there were mixed worlds."""
        document = asdict(self)
        if self.mix is None:
            del document["mix"]
        return document


MAX_BRANDS = 100_000_000
SECTIONS: dict[str, type[Any]] = {"behaviour": BehaviourConfig, "cloud": CloudConfig, "mix": MixedConfig}


def load_simulation_config(path: Path | None, overrides: Mapping[str, Any], *, mixed: bool = False) -> SimulationConfig:
    """Return the configuration from a TOML file, changed by `overrides`.

    Args:
        path: a TOML file, or None for the defaults. Its tables `behaviour`, `cloud` and `mix` hold the parameters of
            `BehaviourConfig`, `CloudConfig` and `MixedConfig`.
        overrides: values for the parameters of `SimulationConfig`; None leaves a parameter unchanged.
        mixed: whether the world is mixed, even if the file has no table `mix`.

    Raises:
        ConfigurationError: the file is missing or not TOML, a parameter is unknown, or a value is out of range.
    """
    settings: dict[str, Any] = {"mix": {}} if mixed else {}
    settings |= read_toml(path) if path is not None else {}
    return parse_simulation_config(settings | {name: value for name, value in overrides.items() if value is not None})


def parse_simulation_config(document: object) -> SimulationConfig:
    """Return the configuration from a document, as `SimulationConfig.document` makes it. What is absent is the default.

    Raises:
        ConfigurationError: a parameter is unknown, or a value is out of range.
    """
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"simulation: the parameters should be a table; received {document!r:.80}")
    config: SimulationConfig = _build(SimulationConfig(), document, "")
    return config


def _build(default: Any, settings: object, prefix: str) -> Any:
    """Return the dataclass `default` with the values of `settings`. Tables are sections, which are dataclasses, too."""
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"simulation: {prefix[:-1]} should be a table of parameters; received {settings!r}")
    known = [parameter.name for parameter in fields(default)]
    values = {}
    for name, value in settings.items():
        if name not in known:
            inner = [] if prefix else [f"{s}.{each.name}" for s, kind in SECTIONS.items() for each in fields(kind)]
            question = did_you_mean(name, [*inner, *(prefix + each for each in known)])
            raise ConfigurationError(
                f"simulation: {prefix}{name} is not a known parameter{question}; the known parameters are: "
                f"{', '.join(known)} (docs/simulator.md)"
            )
        section = SECTIONS[name]() if not prefix and name in SECTIONS else getattr(default, name)
        values[name] = _build(section, value, f"{prefix}{name}.") if is_dataclass(section) else value
    return replace(default, **values)
