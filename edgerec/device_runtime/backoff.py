"""The waiting time after requests to the cloud that failed."""

from __future__ import annotations

import random
from collections.abc import Callable

from edgerec.core.errors import BusyError
from edgerec.device_runtime.clock import due_time

LONGEST_ASKED_MS = 3_600_000
"""The longest waiting time that the cloud can ask for. A wrong header must not silence a device for a year."""


def asked_ms(error: BaseException) -> int | None:
    """Return for how many milliseconds the cloud asks to wait, or None if it does not say."""
    seconds = error.retry_after_s if isinstance(error, BusyError) else None
    return None if seconds is None else int(seconds * 1000)


class Backoff:
    """Waits after a failure, twice as long after each further one.

    The time is random, between the half of it and all of it. Otherwise all devices would come back at the same moment
    after an outage.

    Args:
        first_ms: waiting time after the first failure.
        most_ms: the longest waiting time.
        draw: returns a random number from 0 to below 1.
    """

    def __init__(self, first_ms: int, most_ms: int, draw: Callable[[], float] = random.random) -> None:
        self._first, self._most, self._draw = first_ms, most_ms, draw
        self._failures = self._due = self._soonest = 0
        self._longest = most_ms

    def ready(self, now: int) -> bool:
        """Return whether a request may be made at the time `now`."""
        return now >= self.due(now)

    def due(self, now: int) -> int:
        """Return the time from which a request may be made, in milliseconds since 1970."""
        return due_time(self._due, now, self._longest)

    def succeeded(self) -> None:
        """Note that a request succeeded."""
        self._failures = self._due = self._soonest = 0

    def failed(self, now: int, *, asked_ms: int | None = None) -> None:
        """Note that a request failed at the time `now`. `asked_ms`: how long the cloud asks to wait."""
        wait = min(self._first << min(self._failures, 30), self._most)
        wait -= int(wait / 2 * self._draw())
        asked = min(asked_ms or 0, LONGEST_ASKED_MS)
        if asked > wait:
            wait = asked + int(self._first * self._draw())
        self._due, self._longest = now + wait, max(wait, self._most)
        self._soonest = now + max(self._first, asked)
        self._failures += 1

    def hurry(self) -> None:
        """Let the next request be made when the first waiting time is over, because the user asks for it.

        It is not made before the time until which the cloud asked to wait.
        """
        self._due = min(self._due, self._soonest)
