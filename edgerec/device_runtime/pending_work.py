"""Pending work of a client: step by step in the caller's thread, or in worker threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edgerec.device_runtime.cloud_done import CloudDone
from edgerec.device_runtime.cloud_work import CloudWork
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.device_work import DeviceWork
from edgerec.device_runtime.personal.training import PatchTraining
from edgerec.device_runtime.workers import Job, Workers

_LOG = logging.getLogger(__name__)
PAGE = "page"
TRAINING_WAIT_S = 60.0
"""A training waits for minutes. If the clock is set meanwhile, it may be this much late."""
CHUNK = 8
"""Number of behaviours that are encoded while the lock is held."""


@dataclass(frozen=True)
class Done:
    """What `run_pending` did.

    Attributes:
        encoded: number of behaviours that were encoded.
        requests: the reasons of the requests, in order.
        pages: number of pages that arrived.
        items: number of items that were fetched for behaviours.
        sent: number of batches of log rows that were delivered.
        trained: number of trainings of the user's patch.
        errors: what failed. It will be tried again.
    """

    encoded: int
    requests: tuple[str, ...]
    pages: int
    items: int
    sent: int
    trained: int
    errors: tuple[str, ...]


class PendingWork:
    """Runs the work of the device and the work with the cloud.

    Args:
        lock: the client's lock.
        device: the work of the device.
        training: trains the user's patch.
        config: the configuration of the client.
        clock: returns milliseconds since 1970.
        changed: is called without the lock after the order has changed.

    Attributes:
        cloud: the work with the cloud. The client sets it.
    """

    cloud: CloudWork

    def __init__(
        self,
        lock: threading.Condition,
        device: DeviceWork,
        training: PatchTraining,
        config: ClientConfig,
        clock: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._lock, self._device, self._training = lock, device, training
        self._config, self._clock = config, clock
        self._changed = changed
        self._running = threading.Lock()
        self._page_reasons: list[str] = []
        self._workers: Workers | None = None

    def run(self) -> Done:
        """Do all work that is due, in the calling thread, and return what was done."""
        with self._lock:
            pass  # A forked process gets an error here. `_running` may be locked for ever there.
        with self._running:
            done = CloudDone()
            self.cloud.fetch_items(done)
            encoded, reasons, changed, errors = self._run_device()
            self.cloud.run(done)
            reasons += self._take_page_reasons()
            trained, faults = self._train()
            errors += done.errors + faults
        self._report(changed or done.changed, errors)
        return Done(encoded, tuple(reasons), done.pages, done.items, done.sent, trained, tuple(errors))

    def start(self) -> None:
        """Start the worker threads. Nothing happens if they run."""
        with self._lock:
            if self._workers is None:
                jobs = [
                    Job("edgerec-device", self._device_due, self._device_job),
                    Job("edgerec-cloud", self.cloud.due, self._cloud_job),
                ]
                if self._config.personal:
                    jobs.append(Job("edgerec-training", self._training_due, self._training_job, TRAINING_WAIT_S))
                self._workers = Workers(self._lock, jobs, self._clock)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the worker threads have done everything that is due now. Return whether they have."""
        return self._workers is None or self._workers.wait(timeout_s)

    def close(self, *, send: bool) -> None:
        """Stop the worker threads, end the pages, and deliver the log rows if the cloud answers."""
        with self._lock:
            workers, self._workers = self._workers, None
        if workers is not None:
            workers.stop()
        done = CloudDone()
        self.cloud.end_pages(done)
        _, faults = self._train(session_over=True)
        if send:
            self.cloud.logs.send(done)
        self.cloud.prune(done)
        self._report(False, done.errors + faults)

    def rank_page(self, time: int) -> None:
        """Rank a page that has just arrived, with all behaviours encoded. The lock is held.

        Args:
            time: the time of the request.
        """
        self._device.encode(self._clock())
        refused = None if self._config.rank_pages else "pages are not ranked"
        self._device.rerank(PAGE, time=time, refused=refused)
        self._page_reasons.append(PAGE)

    def _take_page_reasons(self) -> list[str]:
        with self._lock:
            reasons, self._page_reasons = self._page_reasons, []
            return reasons

    def _run_device(self) -> tuple[int, list[str], bool, list[str]]:
        """Encode and re-rank. Return the number of behaviours, the reasons, whether the order changed, and errors."""
        now, encoded = self._clock(), 0
        while True:  # The lock is free between the chunks, so a long history does not block the application.
            with self._lock:
                count = self._device.encode(now, most=CHUNK)
            encoded += count
            if count < CHUNK:
                break
        reasons, changed = [], False
        with self._lock:
            self._device.time_out(now)
            while (reason := self._device.take_reason(now)) is not None:
                encoded += self._device.encode(now)
                changed |= self._device.rerank(reason)
                reasons.append(reason)
            return encoded, reasons, changed, self._device.take_errors()

    def _train(self, *, session_over: bool = False) -> tuple[int, list[str]]:
        """Train the user's patch if that is due. Return the number of trainings, and what failed."""
        now = self._clock()
        with self._lock:
            due = self._training.due(now, session_over=session_over)
        return (0, []) if due is None or due > now else self._training.run(now)

    def _device_due(self) -> int | None:
        return self._device.due(self._clock())

    def _device_job(self) -> None:
        _, _, changed, errors = self._run_device()
        self._report(changed, errors)

    def _training_due(self) -> int | None:
        return self._training.due(self._clock())

    def _training_job(self) -> None:
        _, faults = self._train()
        self._report(False, faults)

    def _cloud_job(self) -> None:
        done = CloudDone()
        self.cloud.run(done)
        self._take_page_reasons()
        self._report(done.changed, done.errors)

    def _report(self, changed: bool, errors: list[str]) -> None:
        for error in errors:
            _LOG.warning("%s", error)
        if changed:
            self._changed()
