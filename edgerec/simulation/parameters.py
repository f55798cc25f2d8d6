"""Parameters of a simulation: fields of dataclasses with a type and a range, and their check."""

from __future__ import annotations

import math
from dataclasses import field, fields
from typing import Any

from edgerec.core.errors import ConfigurationError


def integer(default: int, low: int, high: int) -> Any:
    """Return a field for a whole number from `low` to `high`."""
    return field(default=default, metadata={"integer": True, "low": low, "high": high})


def number(default: float, low: float, high: float) -> Any:
    """Return a field for a number from `low` to `high`."""
    return field(default=default, metadata={"integer": False, "low": low, "high": high})


def check_parameters(section: object, prefix: str) -> None:
    """Check that each field of the dataclass `section` has the type and range that its metadata states.

    Raises:
        ConfigurationError: a field has another type, is not finite or is out of range. The first such field is named.
    """
    for parameter in fields(section):  # type: ignore[arg-type]
        if "integer" not in parameter.metadata:
            continue
        check_number(f"{prefix}{parameter.name}", getattr(section, parameter.name), **parameter.metadata)


def check_number(name: str, value: object, *, integer: bool, low: float, high: float) -> None:
    """Check that `value` is a number from `low` to `high`, and an integer if `integer` is true. A boolean is an error.

    Raises:
        ConfigurationError: the value has another type, is not finite or is out of range.
    """
    types: tuple[type, ...] = (int,) if integer else (int, float)
    valid = isinstance(value, types) and not isinstance(value, bool)
    if not valid or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        expected = "a whole number" if integer else "a number"
        raise ConfigurationError(f"simulation: {name} should be {expected} from {low} to {high}; received {value!r}")
