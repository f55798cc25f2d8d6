"""The clock of a client, which may be wrong or may be set back."""

from __future__ import annotations

from collections.abc import Callable

from edgerec.device_runtime.store.behaviour_store import BehaviourStore

END_MS = 4_102_444_800_000
"""The year 2100. A clock that says so is wrong."""


def checked_clock(clock: Callable[[], int], store: BehaviourStore) -> Callable[[], int]:
    """Return a clock that returns the latest time in the store if `clock` is before 1970 or not before 2100.

    Otherwise one wrong time would stay for ever, because times in the store never go back.
    """

    def now() -> int:
        time = clock()
        return time if 0 <= time < END_MS else store.last_time

    return now


def due_time(time: int, now: int, longest: int) -> int:
    """Return `time`, or `now` if `time` is more than `longest` after it. Then the clock was set back."""
    return time if time - now <= longest else now
