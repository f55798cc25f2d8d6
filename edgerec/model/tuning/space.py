"""The settings that a search varies, and the values that it tries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from edgerec.core.errors import ConfigurationError
from edgerec.model.config import ResolvedConfig


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`. Their logarithms are equally likely before the first trial."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choices:
    """A few values in ascending order."""

    values: tuple[float, ...]

    def __contains__(self, value: float) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(f'{value:g}' for value in self.values)}"


Space = Mapping[str, Range | Choices]
"""For each setting that a search varies, the values that it tries."""


def search_space(config: ResolvedConfig, fixed: Collection[str]) -> Space:
    """Return the settings that a search varies. Their values are near those of `config`, which are included.

    Args:
        config: the settings of the first trial.
        fixed: names of settings that keep their value.

    Raises:
        ConfigurationError: all settings that a search can vary are fixed.
    """
    epochs = config.epochs
    space: dict[str, Range | Choices] = {
        "learning_rate": _range(config.learning_rate, config.learning_rate / 5, config.learning_rate * 4),
        "batch_size": _choices(config.batch_size, _halves(config.batch_size, least=16)),
        "units": _choices(config.units, _halves(config.units, least=8, most=128)),
        "layers": _choices(config.layers, (1, 2, 3)),
        "gain": _range(config.gain, 0.5, 4.0),
        "unknown_rate": _choices(config.unknown_rate, (0.05, 0.2, 0.5, 0.8, 0.95)),
        "average": _choices(config.average, (0.0, 0.99, 0.999)),
        "decay_epochs": _choices(config.decay_epochs, (0, (epochs + 1) // 2, epochs)),
    }
    found = {name: values for name, values in space.items() if name not in fixed}
    if not found:
        raise ConfigurationError(
            f"tune: all settings that a search varies are set ({', '.join(space)}): remove one of them from the "
            "configuration or the options"
        )
    return found


def first_settings(config: ResolvedConfig, space: Space) -> dict[str, Any]:
    """Return the settings of the first trial, which are those of `config`."""
    return {name: getattr(config, name) for name in space}


def _halves(value: int, *, least: int, most: int = 65536) -> tuple[int, ...]:
    """Return a quarter, a half and twice the value, within the bounds."""
    return tuple(each for each in (value // 4, value // 2, value * 2) if least <= each <= most)


def _range(default: float, low: float, high: float) -> Range:
    return Range(min(low, default), max(high, default))


def _choices(default: float, values: tuple[float, ...]) -> Choices:
    return Choices(tuple(sorted({default, *values})))
