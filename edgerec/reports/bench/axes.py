"""Axes with few ticks: decades on a logarithmic axis, and MB on an axis of bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

_STEPS = (1, 2, 5)
_TICKS = 5
"""About as many ticks fit on the width of a phone."""


def logarithmic(values: Iterable[float]) -> dict[str, Any]:
    """Return the settings of a logarithmic axis for these values. Zeros are left out.

    Ticks are decades. If fewer than two decades are in range, ticks are also at 2 and 5 times a decade, and the range
    has at least two ticks.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive) / 1.1, max(positive) * 1.1
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = [10.0**power for power in range(first, last + 1)]
    inside = [tick for tick in decades if low <= tick <= high]
    if len(inside) < 2:
        ticks = [step * decade for decade in decades for step in _STEPS]
        low = max(tick for tick in ticks if tick <= low)
        high = min(tick for tick in ticks if tick >= high)
        inside = [tick for tick in ticks if low <= tick <= high]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": inside,
        "ticktext": [_short(tick) for tick in inside],
        "tickangle": 0,
    }


def bytes_in_megabytes(largest: float) -> dict[str, Any]:
    """Return the settings of an axis of bytes from 0 to `largest`, whose ticks are labelled in MB."""
    rough = max(largest, 1.0) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (*_STEPS, 10) if step * power >= rough)
    ticks = [index * step for index in range(math.floor(largest / step) + 1)]
    return {"tickvals": ticks, "ticktext": [f"{tick / 1e6:g}" for tick in ticks], "tickangle": 0}


def _short(tick: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if tick >= size:
            return f"{tick / size:g}{unit}"
    return f"{tick:g}"
