"""The time budget of a re-rank.

A run of MNN cannot be interrupted, and holds Python's global lock. So the budget refuses a re-rank that would probably
take too long, and a result that came too late is thrown away.
"""

from __future__ import annotations

from collections import deque

REMEMBERED = 8
"""Number of past durations that predict the next one."""


class Budget:
    """Predicts the duration of the next re-rank from the latest ones.

    The prediction is their median, so a single slow re-rank refuses nothing. Each refusal forgets the oldest duration.
    So after at most `REMEMBERED` refusals, a re-rank is tried again.

    Args:
        limit_ms: the largest duration; None if there is no budget.
    """

    def __init__(self, limit_ms: float | None) -> None:
        self._limit_ms = limit_ms
        self._durations: deque[float] = deque(maxlen=REMEMBERED)

    def refusal(self) -> str | None:
        """Return why the next re-rank should not be made, or None if it may be made."""
        if self._limit_ms is None or not self._durations:
            return None
        predicted = sorted(self._durations)[len(self._durations) // 2]
        if predicted <= self._limit_ms:
            return None
        self._durations.popleft()
        return f"it would take about {predicted:.1f} ms, and the budget is {self._limit_ms:g} ms"

    def lateness(self, duration_ms: float) -> str | None:
        """Remember the duration of a re-rank. Return why its result comes too late, or None if it is in time."""
        self._durations.append(duration_ms)
        if self._limit_ms is None or duration_ms <= self._limit_ms:
            return None
        return f"it took {duration_ms:.1f} ms, and the budget is {self._limit_ms:g} ms"
