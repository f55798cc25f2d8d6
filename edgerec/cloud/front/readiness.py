"""Whether the server should get requests (`/v1/ready`)."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

LEAST_FREE = 64 * 1024 * 1024
"""The free space in bytes that the disk of the logs needs."""
_PROBE = bytes(65_536)
_PROBE_EACH_S = 1.0


class Readiness:
    """Says why the server should get no requests. Threads may share an instance.

    Args:
        logs: the folder of the logs; None: no logs are stored.
    """

    def __init__(self, logs: Path | None) -> None:
        self._logs = logs
        self._stopping = False
        self._lock = threading.Lock()
        self._probed = -_PROBE_EACH_S
        self._found: str | None = None

    def stop(self) -> None:
        """From now on, say that the server is being stopped."""
        self._stopping = True

    def fault(self) -> str | None:
        """Return why the server should get no requests now; None: it should get them.

        The disk is tried at most once a second, so that callers cannot wear it out.
        """
        if self._stopping:
            return "the server is being stopped"
        with self._lock:
            if time.monotonic() >= self._probed + _PROBE_EACH_S:
                self._found = self.fault_of_disk()
                self._probed = time.monotonic()
            return self._found

    def fault_of_disk(self) -> str | None:
        """Write and sync a small file where the logs are. Return what is wrong with the disk; None if nothing is."""
        if self._logs is None:
            return None
        try:
            # The file has no name, or it is removed before anything is written.
            with tempfile.TemporaryFile(dir=self._logs) as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
            space = os.statvfs(self._logs)
        except OSError as error:
            return f"the logs cannot be written ({error.strerror})"
        if space.f_bavail * space.f_frsize < LEAST_FREE:
            return f"the disk of the logs is almost full: it should have at least {LEAST_FREE >> 20} MiB free"
        return None
