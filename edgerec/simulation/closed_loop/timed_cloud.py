"""How long the parts of the closed loop take, and a transport that measures the cloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from edgerec.paging.items import ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest
from edgerec.paging.transport import Transport

Result = TypeVar("Result")


@dataclass
class Seconds:
    """Seconds that the parts of the closed loop took.

    Attributes:
        user: the simulated user.
        device: client, store and models.
        cloud: the RS, or the time until it answered.
    """

    user: float = 0.0
    device: float = 0.0
    cloud: float = 0.0


class TimedCloud:
    """A transport that times another one.

    Args:
        plain: the other one.
        seconds: collects what it takes.
        sent: is called with each batch of log rows that was delivered.
    """

    def __init__(self, plain: Transport, seconds: Seconds, sent: Callable[[LogBatch], None] | None = None) -> None:
        self._plain, self._seconds, self._sent = plain, seconds, sent

    def page(self, request: PageRequest) -> Page:
        return self._timed(lambda: self._plain.page(request))

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        return self._timed(lambda: self._plain.items(version_id, item_ids))

    def send(self, batch: LogBatch) -> None:
        self._timed(lambda: self._plain.send(batch))
        if self._sent is not None:
            self._sent(batch)

    def _timed(self, call: Callable[[], Result]) -> Result:
        start = perf_counter()
        try:
            return call()
        finally:
            self._seconds.cloud += perf_counter() - start
