"""How a client mixes cards of several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from edgerec.core.errors import ConfigurationError

Policy = Literal["price", "page", "greedy", "fixed", "off"]
Solver = Literal["auto", "dp", "beam", "greedy"]


@dataclass(frozen=True)
class MixConfig:
    """How a client mixes. The defaults are for production; the other policies are for comparison.

    Attributes:
        policy: how the shares of the rules are spent.
            `price`: each card of a kind costs the kind's price, which moves with the share that users see.
            `page`: the best plan of each page, with a cap for each page. `greedy`: the same, place by place.
            `fixed`: the kinds have fixed places, whatever the cards are worth.
            `off`: no mixing; the order of the re-rank stands.
        solver: what finds the plan. `auto`: `dp` if it is exact and small enough, else `beam`.
        rate: how fast prices move, in units of worth for each card that users see.
        prices: by kind, prices to start with in place of those of the bundle.
        targets: by kind, the share to aim at in place of the nearest bound of the rules.
        beam: number of plans that `beam` keeps.
        places: number of places that are planned. Default: a page of the rules.
        budget_ms: the largest duration of a plan; a longer one is not shown. None: any.

    Raises:
        ConfigurationError: a value has a wrong type or is out of range.
    """

    policy: Policy = "price"
    solver: Solver = "auto"
    rate: float = 0.01
    prices: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    beam: int = 16
    places: int | None = None
    budget_ms: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("policy", get_args(Policy)), ("solver", get_args(Solver))):
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"mixing: `{name}` should be one of {', '.join(known)}; received {getattr(self, name)!r:.80}"
                )
        for name, low, high in (("rate", 0, 10), ("beam", 1, 1000), ("places", 1, 50), ("budget_ms", 0, 1e6)):
            value = getattr(self, name)
            if value is None and name in ("places", "budget_ms"):
                continue
            whole = name in ("beam", "places")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                expected = "a whole number" if whole else "a number"
                raise ConfigurationError(f"mixing: `{name}` should be {expected}; received {value!r:.80}")
            if not low <= value <= high:
                raise ConfigurationError(f"mixing: `{name}` should be from {low} to {high:g}; received {value!r:.80}")
        _check_numbers("prices", self.prices, -1e6, 1e6)
        _check_numbers("targets", self.targets, 0, 1)


def _check_numbers(name: str, values: object, low: float, high: float) -> None:
    """Check a mapping of kinds and numbers."""
    if not isinstance(values, Mapping):
        raise ConfigurationError(
            f"mixing: `{name}` should be a mapping of kinds and numbers; received {type(values).__name__}"
        )
    for kind, value in values.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not isinstance(kind, str) or not number or not low <= value <= high:
            raise ConfigurationError(
                f"mixing: `{name}` should have numbers from {low:g} to {high:g} by kind; received {kind!r:.40}: "
                f"{value!r:.40}"
            )
