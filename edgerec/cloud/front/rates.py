"""How often somebody may ask: a token bucket for each key, such as a user.

A rate of `20/second` lets 20 requests through at once; after them, one each 50 ms. A key costs one number in memory.
Keys that were silent for a whole period are forgotten, because their buckets are full again. There are never more than
`MOST_KEYS` of them: callers can invent users. Beyond that, those that asked the longest time ago are forgotten, too.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Hashable

from edgerec.core.errors import ConfigurationError, InputError

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
MOST_KEYS = 200_000
"""Maximum number of keys in memory. They take about 40 MB."""
_RATE = re.compile(rf"([1-9][0-9]{{0,8}})/({'|'.join(_PERIODS)})")


class TooManyRequestsError(InputError):
    """Somebody asks too often.

    Attributes:
        retry_after: the seconds after which the next request is let through.
    """

    def __init__(self, text: str, retry_after: int) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Rate:
    """Counts the requests of each key against one rate. One thread at a time may use it.

    Args:
        text: the rate, such as `20/second`. The periods are second, minute, hour and day.
        clock: the time in seconds.
        most_keys: maximum number of keys in memory.

    Attributes:
        forgotten: how many keys were forgotten before their buckets were full, because there were too many keys. Their
            next request is counted like a first one.

    Raises:
        ConfigurationError: the text has another form.
    """

    def __init__(self, text: str, *, clock: Callable[[], float] = time.monotonic, most_keys: int = MOST_KEYS) -> None:
        match = _RATE.fullmatch(text)
        if not match:
            raise ConfigurationError(
                f"rate: should be NUMBER/PERIOD with the period {', '.join(_PERIODS)}, such as 20/second; received "
                f"{text!r:.40}"
            )
        self.text = text
        self._period = float(_PERIODS[match[2]])
        self._step = self._period / int(match[1])
        self._clock, self._most = clock, most_keys // 2
        self.forgotten = 0
        # When the bucket of a key is full again (the "theoretical arrival time" of GCRA, ITU-T I.371). A key moves from
        # the older dictionary to the newer one when it asks. Each period, the older dictionary is dropped;
        # earlier if the newer one has half of all keys.
        self._newer: dict[Hashable, float] = {}
        self._older: dict[Hashable, float] = {}
        self._turn = clock() + self._period

    def __len__(self) -> int:
        """Return the number of keys in memory."""
        return len({*self._newer, *self._older})

    def wait(self, key: Hashable) -> int:
        """Count one request of a key. Return 0 if it is let through, otherwise after how many seconds the next one is.

        A request that is not let through is not counted.
        """
        now = self._clock()
        if now >= self._turn:
            silent = now >= self._turn + self._period
            self._older, self._newer = {} if silent else self._newer, {}
            self._turn = now + self._period
        full = self._newer.get(key) or self._older.get(key, now)
        full = (full if full > now else now) + self._step
        excess = full - now - self._period
        # A tolerance, because `step` times the number of requests is not exactly the period.
        refused = excess > 1e-6 * self._step
        self._newer[key] = full - self._step if refused else full
        if len(self._newer) >= self._most:
            self._forget(now)
        return max(1, math.ceil(excess)) if refused else 0

    def _forget(self, now: float) -> None:
        """Drop the keys that asked the longest time ago."""
        self.forgotten += sum(full > now for key, full in self._older.items() if key not in self._newer)
        self._older, self._newer = self._newer, {}
        self._turn = now + self._period

    def check(self, key: Hashable, who: str) -> None:
        """Count one request of a key.

        Raises:
            TooManyRequestsError: it is not let through.
        """
        wait = self.wait(key)
        if wait:
            raise TooManyRequestsError(f"{who} may make {self.text} requests: try again later", wait)
