"""What the server answered so far: numbers of requests, their durations and their bytes, by route.

Counting is in plain dictionaries, because a request should cost a microsecond here. `/metrics` reads them.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

BOUNDS_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 5.0)
"""The upper bounds of the histogram of durations, in seconds."""


@dataclass
class Durations:
    """The histogram of the durations of one route.

    Attributes:
        counts: the number of durations at most as long as each bound and longer than the one before; the last entry has
            those that are longer than all bounds.
        total: their sum in seconds.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total: float = 0.0


@dataclass
class Traffic:
    """Counts answers. One thread at a time may use it.

    Attributes:
        answers: the number of answers, by route, method and status.
        durations: their durations, by route.
        sent: the bytes of the bodies of answers, by route.
        versions: the number of answers to devices, by route and the version that they run.
        open: the number of requests that are being answered now.
    """

    answers: dict[tuple[str, str, int], int] = field(default_factory=dict)
    durations: dict[str, Durations] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    open: int = 0

    def add(self, route: str, method: str, status: int, *, seconds: float, sent: int, version: str | None) -> None:
        """Count one answer."""
        key = (route, method, status)
        self.answers[key] = self.answers.get(key, 0) + 1
        self.sent[route] = self.sent.get(route, 0) + sent
        durations = self.durations.get(route)
        if durations is None:
            durations = self.durations[route] = Durations()
        durations.counts[bisect.bisect_left(BOUNDS_S, seconds)] += 1
        durations.total += seconds
        if version is not None:
            pair = (route, version)
            self.versions[pair] = self.versions.get(pair, 0) + 1
