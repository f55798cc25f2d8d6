"""Counts what was dropped from memory because of a bound, and logs it."""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)


class Dropped:
    """Counts things of one sort that were dropped.

    Args:
        what: what they are, in the plural.
        bound: the largest number that is kept.
    """

    def __init__(self, what: str, bound: int) -> None:
        self.what, self._bound = what, bound
        self.count = 0

    def add(self) -> None:
        """Count one more. Only the first, the 10th, the 100th and so on are logged: a loop must not fill the log."""
        self.count += 1
        if str(self.count).strip("0") == "1":
            _LOG.warning("%d %s dropped, because at most %d are kept", self.count, self.what, self._bound)
