"""Format numbers and other values of a document as the cells of tables."""

from __future__ import annotations

from typing import Any

NONE = "-"
"""The cell of a value that was not measured."""


def number(value: float | None, scale: float = 1.0) -> str:
    """Return ``value * scale`` with about three significant digits, or `NONE`. `scale` converts the unit."""
    if value is None:
        return NONE
    scaled = value * scale
    size = abs(scaled)
    digits = 0 if size >= 100 or scaled == int(scaled) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{scaled:,.{digits}f}" if size >= 0.001 or not scaled else f"{scaled:.2g}"


def megabytes(value: float | None) -> str:
    """Return a number of bytes in MB."""
    return number(value, 1e-6)


def percent(value: float | None) -> str:
    """Return a share in percent."""
    return NONE if value is None else f"{100 * value:.1f} %"


def text(value: Any) -> str:
    """Return any value of a document as text. Lists and objects become one line."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {text(each)}" for key, each in value.items() if each is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text, value))
    return str(value)


def p_value(value: float | None) -> str:
    """Return a p-value. A value that a float can hardly hold is only bounded."""
    if value is None:
        return NONE
    if value < 1e-99:
        return "< 1e-99"
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def digits(value: float | None) -> str:
    """Return a mean with two decimals, because differences of a few percent should be visible in it."""
    return NONE if value is None else f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.1f}"
