"""Pending work on the device: behaviours to encode, and re-ranks that triggers or the application asked for."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from edgerec.core.errors import EdgeRecError, SpecificationError, first_line
from edgerec.device_runtime.backoff import Backoff
from edgerec.device_runtime.clock import due_time
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.dropped import Dropped
from edgerec.device_runtime.open_pages import OpenPages
from edgerec.device_runtime.recording import Recorder
from edgerec.device_runtime.reranking import Reranking
from edgerec.device_runtime.serving import ModelServing
from edgerec.device_runtime.triggers import Event

_RETRY_MS = 1_000
MOST_ASKED = 32
"""Number of re-ranks of the application that wait. Further ones become part of these, which rank the same list."""


class DeviceWork:
    """Encodes behaviours, decides when to re-rank, and re-ranks. The caller holds the client's lock.

    Args:
        serving: Model Serving; None in pass-through.
        reranking: makes the re-ranks.
        recorder: gives the times of requests.
        open_pages: the pages of items that are open.
        config: the configuration of the client.

    Attributes:
        context: values of the request from the application.
        errors: what failed since `take_errors` was called.
        dropped: calls of `ask` that became part of others.
    """

    def __init__(
        self,
        serving: ModelServing | None,
        reranking: Reranking,
        recorder: Recorder,
        open_pages: OpenPages,
        config: ClientConfig,
    ) -> None:
        self._serving, self._reranking, self._recorder, self._config = serving, reranking, recorder, config
        known = config.known_triggers
        self._triggers = {name: known[name] for name in config.triggers}
        self._open_pages = open_pages
        self._exposures = 0
        self._triggered: str | None = None
        self._not_before = 0
        self._asked: deque[str] = deque()
        self._encoding = Backoff(_RETRY_MS, _RETRY_MS)
        self.context: dict[str, Any] = {}
        self.errors: list[str] = []
        self.dropped = Dropped("calls of request", MOST_ASKED)

    def use(self, serving: ModelServing | None) -> None:
        """Encode with this model from now on."""
        self._serving = serving

    def note(self, event: Event) -> None:
        """Count exposures without a click, and let the triggers see an event. A reason that waits already stays."""
        if event.what == "clicked":
            self._exposures = 0
        elif event.what == "exposed":
            self._exposures += 1
            event = replace(event, exposures=self._exposures)
        for name, fires in self._triggers.items():
            if fires(event, self._config):
                self._triggered = self._triggered or name
                self._exposures = 0
                return

    def time_out(self, now: int) -> None:
        """Let the triggers see the open pages that count as never left."""
        for item_id, page in self._open_pages.time_out(now):
            self.note(Event("never_left", item_id, from_feed=page.place is not None))

    def ask(self, reason: str) -> None:
        """Note that the application wants a re-rank. These are not debounced."""
        if len(self._asked) < MOST_ASKED:
            self._asked.append(reason)
        else:
            self.dropped.add()

    def due(self, now: int) -> int | None:
        """Return the time of the next work in milliseconds since 1970, or None if there is none."""
        times = [self._trigger_due(now)] if self._triggered else []
        timeout = self._open_pages.due(now)
        if timeout is not None:
            times.append(timeout)
        if self._asked:
            times.append(now)
        if self._serving is not None and self._serving.has_work:
            times.append(self._encoding.due(now))
        return min(times, default=None)

    def encode(self, now: int, *, most: int | None = None) -> int:
        """Encode what can be encoded, at most `most` behaviours. Return their number."""
        serving, count = self._serving, 0
        if serving is None or not self._encoding.ready(now):
            return 0
        while count != most:
            try:
                if not serving.encode_next():
                    break
                count += 1
            except SpecificationError as error:
                self.errors.append(f"a behaviour is left out: {first_line(error)}")
            except EdgeRecError as error:
                self._encoding.failed(now)
                self.errors.append(f"a behaviour cannot be encoded: {first_line(error)}")
                break
        return count

    def take_reason(self, now: int) -> str | None:
        """Return the reason of the next re-rank that is due, and forget it."""
        if self._asked:
            return self._asked.popleft()
        if self._triggered and now >= self._trigger_due(now):
            reason, self._triggered = self._triggered, None
            self._not_before = now + self._config.debounce_ms
            return reason
        return None

    def _trigger_due(self, now: int) -> int:
        return due_time(self._not_before, now, self._config.debounce_ms)

    def rerank(self, reason: str, *, time: int | None = None, refused: str | None = None) -> bool:
        """Re-rank with all behaviours encoded. Return whether the order changed.

        Args:
            reason: why, for the logs.
            time: the time of the request. Default: now.
            refused: why the present order should stand; None to rank.
        """
        time = self._recorder.request_time() if time is None else time
        try:
            return self._reranking.rerank(reason, self.context, time, refused=refused)
        except EdgeRecError as error:
            self.errors.append(f"the request {reason!r} cannot be recorded: {first_line(error)}")
            return True

    def take_errors(self) -> list[str]:
        """Return what failed, and forget it."""
        errors, self.errors = self.errors, []
        return errors
