"""The behaviours of one kind that requests know, and those among them that a relation chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.features.relations.facts import Facts
from edgerec.features.relations.matching import Matching
from edgerec.features.relations.ranges import Ranges, divide
from edgerec.features.relations.rule import RelationRule

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Window = tuple[float | None, int | None]
"""`within_s` and `latest` of a rule."""

MS_PER_SECOND = 1000.0
FOREVER_MS = 2**50
"""An age of 35,000 years. A rule with a longer window reads behaviours up to this age."""


@dataclass(frozen=True)
class PastBehaviours:
    """The behaviours of one kind that r requests know.

    Attributes:
        facts: the facts of n behaviours, in order of user, store and time.
        time: (n,) int64, milliseconds.
        begin, end: (r,) int64, the range of behaviours that each request knows.
    """

    facts: Facts
    time: Integers
    begin: Integers
    end: Integers


class Known:
    """The behaviours that r requests with c candidates know. What several relations read is computed once.

    Args:
        past: the behaviours.
        keys: (columns, c) the keys of the candidates.
        request: (c,) the request of each candidate.
        time: (r,) the time of each request in milliseconds.
    """

    def __init__(self, past: PastBehaviours, keys: Integers, request: Integers, time: Integers) -> None:
        self.past = past
        self._wanted, self._request, self._time = keys, request, time
        # Sorting is faster if the keys of a column are side by side.
        self._keys = np.ascontiguousarray(past.facts.keys.T)
        self._uncut = len(past.begin) == 1 and past.begin[0] == 0 and past.end[0] == len(past.time)
        self._missing = np.isnan(past.facts.numbers)
        self._any_missing = np.count_nonzero(self._missing) > 0
        self._first: dict[Window, Integers] = {(None, None): past.begin}
        self._matching: dict[int, Matching] = {}
        self._ranges: dict[tuple[int | None, Window], Ranges] = {}

    def rows(self, key: int | None, window: Window) -> tuple[Integers, Integers, Integers]:
        """Return an order of the behaviours, and the start and stop (c,) of each candidate's range in it."""
        first = self._first_in(window)
        if key is None:
            return np.arange(len(self.past.time)), first.take(self._request), self.past.end.take(self._request)
        matching = self._matching.get(key)
        if matching is None:
            past = self.past
            matching = Matching(self._keys[key], self._wanted[key], self._request, past.begin, past.end, self._uncut)
            self._matching[key] = matching
        return matching.order, matching.start(first), matching.stop

    def share(self, key: int | None, window: Window) -> Floats:
        """Return the share (c,) of the behaviours with the candidate's key, or NaN if there are no behaviours."""
        return divide(self._choose(key, window).count(), self._choose(None, window).count().take(self._request))

    def value(self, rule: RelationRule, key: int | None, window: Window, column: int, own: Floats) -> Floats:
        """Return the numbers (c,) of a rule with a column. `own` (c,) has the candidates' numbers."""
        missing = self._missing[:, column] if self._any_missing else None
        theirs = self._choose(key, window).value(rule.over, self.past.facts.numbers[:, column], missing)
        if key is None:
            theirs = theirs.take(self._request)
        if rule.compute == "value":
            return theirs
        return own - theirs if rule.compute == "difference" else divide(own, theirs)

    def _choose(self, key: int | None, window: Window) -> Ranges:
        """Return the chosen behaviours of each candidate. Without a key, return those of each request."""
        ranges = self._ranges.get((key, window))
        if ranges is None:
            if key is None:
                ranges = Ranges(np.arange(len(self.past.time)), self._first_in(window), self.past.end)
            else:
                ranges = Ranges(*self.rows(key, window))
            self._ranges[key, window] = ranges
        return ranges

    def _first_in(self, window: Window) -> Integers:
        """Return the index (r,) of the first behaviour in the window of each request."""
        first = self._first.get(window)
        if first is None:
            within_s, latest = window
            first, end = self.past.begin, self.past.end
            if within_s is not None:
                first = end - self._young(longest_age(within_s))
            if latest is not None:
                first = np.maximum(first, end - latest)
            self._first[window] = first
        return first

    def _young(self, age: int) -> Integers:
        """Return the number (r,) of known behaviours that are at most `age` milliseconds old."""
        counts = self.past.end - self.past.begin
        request = np.arange(len(counts)).repeat(counts)
        index = np.arange(len(request)) + (self.past.end - counts.cumsum())[request]
        young = self.past.time[index] >= self._time[request] - age
        return np.bincount(request[young], minlength=len(counts))


def longest_age(seconds: float) -> int:
    """Return the largest age in whole milliseconds that is at most `seconds`, or `FOREVER_MS` if that is less."""
    if seconds >= FOREVER_MS / MS_PER_SECOND:
        return FOREVER_MS
    age = int(seconds * MS_PER_SECOND) + 1
    while age / MS_PER_SECOND > seconds:
        age -= 1
    return age
