"""The context of a request: values that hold for the whole list, and not for one item (docs/features.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind

MS_PER_SECOND = 1000
MS_PER_HOUR = 3600 * MS_PER_SECOND
MS_PER_DAY = 24 * MS_PER_HOUR
THURSDAY = 3
"""The weekday of 1970-01-01, counted from Monday = 0."""


Integers = NDArray[np.int64] | np.int64


@dataclass(frozen=True)
class RequestFacts:
    """What is known about r requests without any column of the logs.

    For a single request, the attributes may be numbers instead of arrays. On the device, this is faster.

    Attributes:
        time: (r,) int64, milliseconds since 1970.
        candidates: (r,) int64, the length of each list.
        behaviours: for each kind, the number (r,) of behaviours that the ranker reads.
        latest: for each kind, the time (r,) of the latest of them in milliseconds. It has no meaning where there are
            none.
    """

    time: Integers
    candidates: Integers
    behaviours: Mapping[BehaviourKind, Integers]
    latest: Mapping[BehaviourKind, Integers]


def _floats(values: Integers) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _seconds_since(kind: BehaviourKind) -> Callable[[RequestFacts], NDArray[np.float64]]:
    def seconds(facts: RequestFacts) -> NDArray[np.float64]:
        return np.where(facts.behaviours[kind] > 0, (facts.time - facts.latest[kind]) / MS_PER_SECOND, np.nan)

    return seconds


DERIVED: dict[str, Callable[[RequestFacts], NDArray[np.float64]]] = {
    "list_length": lambda facts: _floats(facts.candidates),
    "hour_utc": lambda facts: _floats(facts.time // MS_PER_HOUR % 24),
    "weekday_utc": lambda facts: _floats((facts.time // MS_PER_DAY + THURSDAY) % 7),
    "exposures": lambda facts: _floats(facts.behaviours[EXPOSURE]),
    "page_views": lambda facts: _floats(facts.behaviours[PAGE_VIEW]),
    "seconds_since_exposure": _seconds_since(EXPOSURE),
    "seconds_since_page_view": _seconds_since(PAGE_VIEW),
}
"""The values that are computed, by the name that a feature of origin `derived` has as its source. The shape is (r,), or
() if the facts are numbers. Weekdays count from Monday = 0. NaN stands for a missing value."""
