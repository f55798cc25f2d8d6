"""Worker threads: each does its job when the job is due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

_LOG = logging.getLogger(__name__)
_PAUSE_S = 1.0
"""The pause after a fault."""


class Job(NamedTuple):
    """What a thread does.

    Attributes:
        name: the name of the thread.
        due: returns when the job is due, in milliseconds since 1970, or None. The lock is held.
        run: the job itself. The lock is free.
        longest_wait_s: a job that is due later is looked at again after this time, because the clock may have been set.
    """

    name: str
    due: Callable[[], int | None]
    run: Callable[[], None]
    longest_wait_s: float = 1.0


class Workers:
    """One thread for each job.

    Args:
        lock: it guards what the jobs read. Whoever gives a job something to do notifies it.
        jobs: the jobs.
        clock: returns milliseconds since 1970.
    """

    def __init__(self, lock: threading.Condition, jobs: Sequence[Job], clock: Callable[[], int]) -> None:
        self._lock, self._jobs, self._clock = lock, jobs, clock
        self._running = 0
        self._stopping = False
        self._threads = [threading.Thread(target=self._loop, args=(job,), name=job.name, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the running jobs end, and end the threads."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join()

    def wait(self, timeout_s: float) -> bool:
        """Wait until no job runs and none is due. Return whether that happened within the time."""
        with self._lock:
            return self._lock.wait_for(self._idle, timeout_s)

    def _idle(self) -> bool:
        return not self._running and not any(self._is_due(job.due()) for job in self._jobs)

    def _is_due(self, time: int | None) -> bool:
        return time is not None and time <= self._clock()

    def _loop(self, job: Job) -> None:
        while True:
            with self._lock:
                while not self._stopping and not self._is_due(time := job.due()):
                    left = None if time is None else max(time - self._clock(), 1) / 1000
                    self._lock.wait(None if left is None else min(left, job.longest_wait_s))
                if self._stopping:
                    return
                self._running += 1
            try:
                job.run()
            except Exception:  # A worker thread goes on after a fault. Otherwise nothing would be encoded any more.
                _LOG.exception("%s failed", job.name)
                threading.Event().wait(_PAUSE_S)
            finally:
                with self._lock:
                    self._running -= 1
                    self._lock.notify_all()
