"""The clock of a client, which may be wrong or may be set.

Times in a store never go back, and a request is later than what it knows. So a clock that is set needs a rule:

- If the cloud has told its time, and the clock differs from it by more than a minute, the time of the cloud counts.
- If the clock is more than a minute before the latest time in the store, times go on from this latest time, at the
  speed of the clock.
- If the latest time in the store is more than an hour after the time of the cloud, the times in the store are set back
  (`edgerec.device_runtime.store.set_back`). A smaller difference may be the fault of one of several servers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

END_MS = 4_102_444_800_000
"""The year 2100. A clock that says so is wrong."""
TOLERANCE_MS = 60_000
"""By how much a clock may be wrong. The header `Date` of an answer has whole seconds, and the answer takes time."""
SET_BACK_MS = 3_600_000
"""If the store is ahead of the cloud by more than this, its times are set back."""


class _HasLastTime(Protocol):
    last_time: int


class ClientClock:
    """Returns the time of a client in milliseconds since 1970.

    Args:
        clock: the clock of the device.
        store: the behaviour store. A time before 1970 or from 2100 on counts as the latest time in the store.
        cloud_time: returns the time of the cloud, or None if it is not known. None: there is no such function.
    """

    def __init__(
        self, clock: Callable[[], int], store: _HasLastTime, cloud_time: Callable[[], int | None] | None = None
    ) -> None:
        self._clock, self._store, self._cloud_time = clock, store, cloud_time
        self._ahead = 0

    @property
    def asks_cloud(self) -> bool:
        """Whether the time of the cloud counts."""
        return self._cloud_time is not None

    @property
    def is_trusted(self) -> bool:
        """Whether the time may decide what is old: the cloud has confirmed it, or there is no cloud that could."""
        return self._cloud_time is None or self._cloud_time() is not None

    def cloud_time(self) -> int | None:
        """Return the present time of the cloud, or None if it is not known."""
        return None if self._cloud_time is None else self._cloud_time()

    def __call__(self) -> int:
        """Return the present time."""
        now, cloud, latest = self._clock(), self.cloud_time(), self._store.last_time
        valid = 0 <= now < END_MS
        if cloud is not None and not (valid and abs(now - cloud) <= TOLERANCE_MS):
            now = cloud
        elif not valid:
            return latest
        if now >= latest - TOLERANCE_MS:
            self._ahead = 0
        elif now + self._ahead < latest - TOLERANCE_MS:
            self._ahead = latest - now
        return now + self._ahead

    def is_set_back(self) -> bool:
        """Return whether the times in the store have to be set back to the time of the cloud."""
        cloud = self.cloud_time()
        return cloud is not None and self._store.last_time > cloud + SET_BACK_MS


def due_time(time: int, now: int, longest: int) -> int:
    """Return `time`, or `now` if `time` is more than `longest` after it. Then the clock was set back."""
    return time if time - now <= longest else now
