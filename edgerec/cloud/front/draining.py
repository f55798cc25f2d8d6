"""uvicorn's server, which goes on to answer for some time after it was asked to stop."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn


class DrainingServer(uvicorn.Server):
    """Runs an application until SIGINT or SIGTERM. Then it answers for `drain_s` seconds more, and ends.

    A load balancer needs this time to notice that the server will end. Requests that are open at the end are answered,
    too. Another signal ends the time at once. When it is over, a further SIGINT cuts off the requests that are open.

    Args:
        config: uvicorn's settings.
        drain_s: the time in seconds.
        listening: called when it answers.
        stopping: called when the signal comes.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain_s: float,
        *,
        listening: Callable[[], None],
        stopping: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._drain, self._listening, self._stopping = drain_s, listening, stopping
        self._stop_at: float | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Run until a signal comes. At the end, the handler from before gets it; twice if requests were cut off."""
        try:
            super().run(sockets)
        finally:
            if self.force_exit:
                signal.raise_signal(signal.SIGINT)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop. Python calls this when the signal comes."""
        self._stopping()
        super().handle_exit(sig, frame)
        if self._stop_at is None and self._drain > 0:
            self._stop_at = time.monotonic() + self._drain
            self.should_exit = False

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server should end now. uvicorn calls this ten times a second."""
        ended = await super().on_tick(counter)
        return ended or (self._stop_at is not None and time.monotonic() >= self._stop_at)
