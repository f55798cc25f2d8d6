"""The delivery of log rows: batches, oldest first."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from edgerec.core.errors import AnswerError, EdgeRecError, InputError, RefusedError, first_line
from edgerec.device_runtime.circuit import RequestKind
from edgerec.device_runtime.clock import ClientClock, due_time
from edgerec.device_runtime.cloud_done import CloudDone
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.paging.transport import Transport


class LogDelivery:
    """Delivers the log rows of a store. It holds the client's lock, but not while it waits for an answer.

    Args:
        lock: the client's lock.
        store: the store.
        transport: the cloud.
        waiting: the waiting times after failures.
        config: the configuration of the client.
        clock: the clock of the client.
        set_back: is called before each batch. It sets times back that are after the time of the cloud.
    """

    def __init__(
        self,
        lock: threading.Condition,
        store: BehaviourStore,
        transport: Transport,
        waiting: RequestKind,
        config: ClientConfig,
        clock: ClientClock,
        set_back: Callable[[], None],
    ) -> None:
        self._lock, self._store, self._transport, self._waiting = lock, store, transport, waiting
        self._config, self._clock, self._set_back = config, clock, set_back
        self._rows = True
        self._due = 0

    def note_rows(self) -> None:
        """Note that the store has new log rows."""
        self._rows = True

    def due(self, now: int) -> int | None:
        """Return the time of the next delivery in milliseconds since 1970; None without rows."""
        return max(self._interval_end(now), self._waiting.due(now)) if self._rows else None

    def send_if_due(self, done: CloudDone) -> None:
        """Deliver rows if there are some, and the time between two deliveries is over."""
        now = self._clock()
        if self._rows and now >= self._interval_end(now):
            self.send(done)

    def send(self, done: CloudDone) -> None:
        """Deliver log rows, oldest first, until all are delivered or a delivery fails.

        A batch that the cloud refuses is halved until the row that it refuses is alone. This row is lost.
        """
        now, most = self._clock(), self._config.send_rows
        while self._waiting.ready(now):
            try:
                self._learn_time()
                self._set_back()
                with self._lock:
                    batch = self._store.unsent(most)
                    if batch is None:
                        self._rows = False
                        break
                try:
                    self._transport.send(batch)
                except (RefusedError, InputError) as error:
                    # The batch could never be delivered, and no later row either.
                    if isinstance(error, RefusedError):
                        self._waiting.answered()
                    with self._lock:
                        lost = self._store.refuse_batch(batch.number)
                    if lost:
                        done.errors.append(f"a log row is lost, because the cloud refuses it: {first_line(error)}")
                    most = max((len(batch.events) + len(batch.requests)) // 2, 1)
                    continue
                with self._lock:
                    self._store.mark_sent(batch.number)
            except EdgeRecError as error:
                self._waiting.failed(now, error)
                done.errors.append(f"log rows cannot be delivered: {first_line(error)}")
                return
            self._waiting.succeeded()
            done.sent += 1
            most = min(2 * most, self._config.send_rows)
        self._due = now + self._config.send_interval_ms

    def _learn_time(self) -> None:
        """Ask the cloud for its time before the first rows are sent. Rows that were sent keep a wrong time.

        Raises:
            TransportError: the cloud cannot be reached.
        """
        ask = getattr(self._transport, "ask_time", None)
        if ask is not None and self._clock.asks_cloud and self._clock.cloud_time() is None:
            with contextlib.suppress(AnswerError):
                ask()

    def _interval_end(self, now: int) -> int:
        return due_time(self._due, now, self._config.send_interval_ms)
