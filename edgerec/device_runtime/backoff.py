"""The waiting time after requests to the cloud that failed."""

from __future__ import annotations

from edgerec.device_runtime.clock import due_time


class Backoff:
    """Waits after a failure, twice as long after each further one.

    Args:
        first_ms: waiting time after the first failure.
        most_ms: the longest waiting time.
    """

    def __init__(self, first_ms: int, most_ms: int) -> None:
        self._first, self._most = first_ms, most_ms
        self._failures = self._due = 0

    def ready(self, now: int) -> bool:
        """Return whether a request may be made at the time `now`."""
        return now >= self.due(now)

    def due(self, now: int) -> int:
        """Return the time from which a request may be made, in milliseconds since 1970."""
        return due_time(self._due, now, self._most)

    def succeeded(self) -> None:
        """Note that a request succeeded."""
        self._failures = self._due = 0

    def failed(self, now: int) -> None:
        """Note that a request failed at the time `now`."""
        self._due = now + min(self._first << min(self._failures, 30), self._most)
        self._failures += 1
