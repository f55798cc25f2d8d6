"""After a look-up without an answer, let the next ones fail at once for a while, so that few callers wait."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from edgerec.core.errors import StoreError


class Pause:
    """A pause after each failure. When it ends, one caller tries; meanwhile the others still fail at once.

    Threads and forked processes may share an instance. It has no lock: if two callers try at the same moment, no harm
    is done.

    Args:
        seconds: length of a pause; 0: there are none.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failed: tuple[float, str] | None = None

    @contextlib.contextmanager
    def unless_failed(self) -> Iterator[None]:
        """Run a block that raises StoreError if there is no answer.

        Raises:
            StoreError: the block raised it, or an earlier block did so during the last pause.
        """
        if not self._seconds:
            yield
            return
        failed = self._failed
        if failed is not None:
            end, text = failed
            if time.monotonic() < end:
                raise StoreError(text)
            self._failed = (time.monotonic() + self._seconds, text)
        try:
            yield
        except StoreError as error:
            self._failed = (time.monotonic() + self._seconds, str(error))
            raise
        self._failed = None
