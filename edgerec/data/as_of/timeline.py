"""The times of the events of many keys, and what is known of a key at an instant.

Key and time are combined into one number, ``key * span + time``. So each question about a key and a time is a binary
search in one sorted array, without a loop over keys. The array may be a memory-mapped file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import repeat
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Number = TypeVar("Number", np.int64, np.float64)


class Timeline:
    """The events of keys 0, 1, 2, ..., sorted by key, time and weight."""

    def __init__(
        self,
        axis: Integers,
        *,
        start: int,
        span: int,
        weights: Floats | None = None,
        sums: dict[int | None, Floats] | None = None,
    ) -> None:
        """Args:
        axis: (events,), ascending: ``key * span + time - start`` of each event.
        start: the time of the first event in milliseconds.
        span: the number of times of a key, as `time_range` returns it.
        weights: (events,), how much each event counts in sums; default: 1.
        sums: for each half-life in milliseconds, and for None (no decay), what `running_sums` returns; default: the
            sums are computed when they are needed.
        """
        self.axis, self.start, self.span = axis, start, span
        self._weights, self._sums = weights, {} if sums is None else sums

    @classmethod
    def of(cls, keys: Integers, times: Integers, weights: Floats | None = None) -> Timeline:
        """Return the timeline of events. All arrays are (events,), and `keys` are at least 0."""
        start, span = time_range((int(times.min()), int(times.max())) if len(times) else None)
        axis, weights = in_order(combined(keys, times, start=start, span=span), weights)
        return cls(axis, start=start, span=span, weights=weights)

    def at(self, keys: Integers, times: Integers) -> AsOfInstants:
        """Return what is known of each key (n,) before each time (n,). A key below 0 has no events."""
        return AsOfInstants(self, keys, times)

    def sums(self, half_life: int | None) -> Floats:
        """Return the sum of the weights of each event's key just after the event. Shape (events,)."""
        if half_life not in self._sums:
            self._sums[half_life] = running_sums(self.axis, self._weights, span=self.span, half_life=half_life)
        return self._sums[half_life]


class Instants(Protocol):
    """What is known of n keys, each before an instant of its own. `AsOfInstants` describes the methods."""

    def count(self, within: int | None = None) -> Integers: ...
    def sum(self, within: int | None = None) -> Floats: ...
    def decayed(self, half_life: int) -> Floats: ...
    def since_last(self) -> Integers: ...
    def since_first(self) -> Integers: ...


class AsOfInstants:
    """What is known of n keys, each before an instant of its own. `Timeline.at` creates it.

    An event at exactly the instant is not known.
    """

    def __init__(self, timeline: Timeline, keys: Integers, times: Integers) -> None:
        base = np.where(keys >= 0, keys, 0) * timeline.span
        numbers = base + np.clip(times - timeline.start, 0, timeline.span - 1)
        # All arrays are in ascending order of key and time, because neighbouring searches are much faster in order.
        self._order = np.argsort(numbers)
        self._timeline, self._times, self._base = timeline, times[self._order], base[self._order]
        self._known = (keys >= 0)[self._order]
        self._rank: Integers = np.searchsorted(timeline.axis, numbers[self._order])

    @cached_property
    def _first(self) -> Integers:
        """The number of events of smaller keys."""
        return np.searchsorted(self._timeline.axis, self._base)

    @cached_property
    def _some(self) -> NDArray[np.bool_]:
        """Whether the key has an event before the instant."""
        some = self._known & (self._rank > 0)
        some[some] = self._timeline.axis[self._rank[some] - 1] >= self._base[some]
        return some

    def count(self, within: int | None = None) -> Integers:
        """Count the events, or those of the last `within` milliseconds: ``time - within <= time of event < time``."""
        return self._as_asked(np.where(self._known, self._rank - self._begin(within), 0))

    def sum(self, within: int | None = None) -> Floats:
        """Return the sum of the weights of the events that `count` counts."""
        sums, begin = self._timeline.sums(None), self._begin(within)
        total, some = np.zeros(len(self._times)), self._some & (self._rank > begin)
        total[some] = sums[self._rank[some] - 1]
        earlier = some & (begin > self._first)
        total[earlier] -= sums[begin[earlier] - 1]
        return self._as_asked(total)

    def decayed(self, half_life: int) -> Floats:
        """Return the sum of the weights, each times ``0.5 ** (age / half_life)``. Both are milliseconds."""
        some, ages = self._some, self._ages(self._rank - 1)
        total = np.zeros(len(self._times))
        total[some] = self._timeline.sums(half_life)[self._rank[some] - 1] * np.exp2(ages / -half_life)
        return self._as_asked(total)

    def since_last(self) -> Integers:
        """Return the milliseconds since the last event; -1 if there is none."""
        since = np.full(len(self._times), -1, np.int64)
        since[self._some] = self._ages(self._rank - 1)
        return self._as_asked(since)

    def since_first(self) -> Integers:
        """Return the milliseconds since the first event; 0 if there is none."""
        since = np.zeros(len(self._times), np.int64)
        since[self._some] = self._ages(self._first)
        return self._as_asked(since)

    def _ages(self, rows: Integers) -> Integers:
        """Return the ages of the events in `rows` of the timeline, for the keys that have an event."""
        some = self._some
        ages: Integers = self._times[some] - self._timeline.start - (self._timeline.axis[rows[some]] - self._base[some])
        return ages

    def _begin(self, within: int | None) -> Integers:
        """Return the first event that counts."""
        if within is None:
            return self._first
        begin = self._times - within - self._timeline.start
        begin = np.clip(begin, 0, self._timeline.span - 1)
        found: Integers = np.searchsorted(self._timeline.axis, self._base + begin)
        return found

    def _as_asked(self, values: NDArray[Number]) -> NDArray[Number]:
        """Return values (n,) in the order in which `at` was asked."""
        result = np.empty_like(values)
        result[self._order] = values
        return result


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


def in_order(axis: Integers, weights: Floats | None) -> tuple[Integers, Floats | None]:
    """Return events (n,) in order of their numbers in `axis`, and then of their weights."""
    if weights is None:
        return np.sort(axis, kind="stable"), None
    order = np.lexsort((weights, axis))
    return axis[order], weights[order]


def running_sums(
    axis: Integers,
    weights: Floats | None,
    *,
    span: int,
    half_life: int | None,
    before: tuple[int, float] | None = None,
) -> Floats:
    """Return the sum of the weights of each event's key just after the event. Shape (events,).

    Weights decay with the half-life. The sums of a key are computed one after the other. So they have the same bits,
    whatever other keys there are, and if the events are given in several pieces.

    Args:
        axis: (events,), as in `Timeline`.
        weights: (events,); default: 1.
        span: as in `Timeline`.
        half_life: milliseconds, or None if weights do not decay.
        before: the last entry of `axis` in the piece before this one, and its sum.
    """
    if not len(axis):
        return np.empty(0)
    previous, total = (int(axis[0]), 0.0) if before is None else before
    earlier = np.concatenate([np.array([previous], np.int64), axis[:-1]])
    kept = np.ones(len(axis)) if half_life is None else np.exp2((axis - earlier) / -half_life)
    kept[axis // span != earlier // span] = 0.0
    added = repeat(1.0) if weights is None else weights.tolist()
    return np.fromiter(_totals(total, kept.tolist(), added), np.float64, len(axis))


def _totals(total: float, kept: Iterable[float], added: Iterable[float]) -> Iterator[float]:
    for share, weight in zip(kept, added, strict=False):
        total = total * share + weight
        yield total
