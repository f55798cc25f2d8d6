"""The time of the cloud, which answers name in the header `Date`."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)
"""On Linux, this clock also counts while the device sleeps. Nobody can set it."""
_START_S = 1_735_689_600
"""The start of 2025, before this code was written. A header that says an earlier time is wrong."""
_END_S = 4_102_444_800
"""The year 2100. A header that says so is wrong."""


class CloudTime:
    """Knows the present time of the cloud after its first answer, whatever happens to the clock of the device."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def note(self, date: str | None) -> None:
        """Note the header `Date` of an answer that has just arrived. A header of another form is ignored."""
        try:
            seconds = parsedate_to_datetime(date or "").timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        if _START_S <= seconds < _END_S:
            self._offset_s = seconds - _elapsed_s()

    def now_ms(self) -> int | None:
        """Return the present time in milliseconds since 1970, or None if the cloud has not answered yet."""
        offset = self._offset_s
        return None if offset is None else int((offset + _elapsed_s()) * 1000)


def _elapsed_s() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
