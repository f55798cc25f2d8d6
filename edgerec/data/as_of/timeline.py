"""The times of the events of many keys, and what is known of a key at an instant.

Key and time are combined into one number, ``key * span + time``. So each question about a key and a time is a binary
search in one sorted array, without a loop over keys. The array may be a memory-mapped file.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Timeline:
    """The events of keys 0, 1, 2, ..., sorted by key and time."""

    def __init__(self, axis: Integers, *, start: int, span: int, sums: dict[int, Floats] | None = None) -> None:
        """Args:
        axis: (events,), ascending: ``key * span + time - start`` of each event.
        start: the time of the first event in milliseconds.
        span: the number of times of a key, as `time_range` returns it.
        sums: the decayed sums of half-lives, in milliseconds; default: they are computed when they are needed.
        """
        self.axis, self.start, self.span = axis, start, span
        self._sums = {} if sums is None else sums

    @classmethod
    def of(cls, keys: Integers, times: Integers) -> Timeline:
        """Return the timeline of events with `keys` (events,), which are at least 0, and `times` (events,)."""
        start, span = time_range((int(times.min()), int(times.max())) if len(times) else None)
        return cls(np.sort(combined(keys, times, start=start, span=span)), start=start, span=span)

    def at(self, keys: Integers, times: Integers) -> AsOfInstants:
        """Return what is known of each key (n,) before each time (n,). A key below 0 has no events."""
        return AsOfInstants(self, keys, times)

    def sums(self, half_life: int) -> Floats:
        """Return the decayed count of each event's key just after the event. Shape (events,)."""
        if half_life not in self._sums:
            self._sums[half_life] = decayed_sums(self.axis, self.span, half_life)
        return self._sums[half_life]


class AsOfInstants:
    """What is known of n keys, each before an instant of its own. `Timeline.at` creates it.

    An event at exactly the instant is not known.
    """

    def __init__(self, timeline: Timeline, keys: Integers, times: Integers) -> None:
        self._timeline, self._times = timeline, times
        self._known = keys >= 0
        self._base = np.where(self._known, keys, 0) * timeline.span
        # Neighbouring searches are much faster in ascending order.
        self._order = np.argsort(self._base + self._offsets(times))
        self._rank = self._search(self._base + self._offsets(times))
        self._first = self._search(self._base)
        self._some = self._known & (self._rank > self._first)

    def count(self, within: int | None = None) -> Integers:
        """Count the events, or those of the last `within` milliseconds: ``time - within <= time of event < time``."""
        begin = self._first if within is None else self._search(self._base + self._offsets(self._times - within))
        return np.where(self._known, self._rank - begin, 0)

    def decayed(self, half_life: int) -> Floats:
        """Count the events, each with the weight ``0.5 ** (age / half_life)``. Both are milliseconds."""
        last, ages = self._rank[self._some] - 1, self.since_last()[self._some]
        counts = np.zeros(len(self._times))
        counts[self._some] = self._timeline.sums(half_life)[last] * np.exp2(ages / -half_life)
        return counts

    def since_last(self) -> Integers:
        """Return the milliseconds since the last event; -1 if there is none."""
        return self._since(self._rank - 1, none=-1)

    def since_first(self) -> Integers:
        """Return the milliseconds since the first event; 0 if there is none."""
        return self._since(self._first, none=0)

    def _since(self, rows: Integers, *, none: int) -> Integers:
        some, since = self._some, np.full(len(self._times), none, np.int64)
        offsets = self._timeline.axis[rows[some]] - self._base[some]
        since[some] = self._times[some] - self._timeline.start - offsets
        return since

    def _offsets(self, times: Integers) -> Integers:
        return np.clip(times - self._timeline.start, 0, self._timeline.span - 1)

    def _search(self, values: Integers) -> Integers:
        rows = np.empty(len(values), np.int64)
        rows[self._order] = np.searchsorted(self._timeline.axis, values[self._order])
        return rows


def time_range(extremes: tuple[int, int] | None) -> tuple[int, int]:
    """Return start and span of a timeline from its first and its last time, or of an empty timeline.

    The span is one millisecond longer than the events. So a search after the last event stays within its key.
    """
    return (0, 1) if extremes is None else (extremes[0], extremes[1] - extremes[0] + 2)


def combined(keys: NDArray[Any], times: Integers, *, start: int, span: int) -> Integers:
    """Return ``key * span + time - start`` for each event. All shapes are (n,).

    Raises:
        InputError: the numbers would be too large for 64 bits.
    """
    if len(keys) and (int(keys.max()) + 1) * span >= 2**63:
        raise InputError(
            f"as of: {int(keys.max()) + 1} keys over {span} ms are too many: check that all times are from the period "
            "of the logs"
        )
    return keys.astype(np.int64) * span + (times - start)


def decayed_sums(axis: Integers, span: int, half_life: int, *, before: tuple[int, float] | None = None) -> Floats:
    """Return the decayed count of each event's key just after the event. Shape (events,).

    The sums are computed one after the other. So they have the same bits if the events are given in several pieces.

    Args:
        axis: (events,), as in `Timeline`.
        span: as in `Timeline`.
        half_life: milliseconds.
        before: the last entry of the piece before this one, and its sum.
    """
    if not len(axis):
        return np.empty(0)
    previous, carried = (axis[0], 0.0) if before is None else before
    earlier = np.concatenate([np.array([previous], np.int64), axis[:-1]])
    decay = np.where(axis // span == earlier // span, np.exp2((axis - earlier) / -half_life), 0.0)
    steps: Iterable[float] = accumulate(decay.tolist(), lambda total, kept: total * kept + 1.0, initial=carried)
    return np.fromiter(steps, np.float64, len(axis) + 1)[1:]
