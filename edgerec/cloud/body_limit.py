"""Limits the size of the bodies that the server reads, and how long they may take to arrive."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from starlette.exceptions import HTTPException

from edgerec.cloud.front.asgi import App, Message, Receive, Send

MOST_S = 30.0
"""How long a body may take to arrive, in seconds."""


class BodyLimit:
    """ASGI middleware. It stops reading a body that is larger than `most` bytes, so it never is in memory.

    It also stops after about `seconds`, so a client that sends a byte now and then does not hold a request open for
    ever.
    """

    def __init__(self, app: App, most: int, seconds: float = MOST_S) -> None:
        self._app, self._most = app, most
        self._patience = _Patience(seconds)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length, ended, until = 0, False, 0.0

        async def limited() -> Message:
            nonlocal length, ended, until
            if ended:
                # The application waits for the client to go away. That has no time limit.
                return await receive()
            until = until or self._patience.until()
            message = await self._patience.received(receive, until)
            length += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if length > self._most:
                raise HTTPException(413, f"the body should have at most {self._most} bytes; it has more")
            return message

        await self._app(scope, limited, send)


class _Patience:
    """Cancels what waits too long for a message.

    A timer for each request would cost more than all other middleware. So one timer looks at all that wait.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that has the timer; None if there is no timer."""

    def until(self) -> float:
        """Return the time of the event loop until which a body that begins now may take."""
        return asyncio.get_running_loop().time() + self._seconds

    async def received(self, receive: Receive, until: float) -> Message:
        """Return the next message.

        Raises:
            HTTPException: it did not come until the time `until` of the event loop. The status is 408.
        """
        task = asyncio.current_task()
        if task is None:
            return await receive()
        self._waiting[task] = until
        loop = task.get_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(self._seconds / 4, self._look)
        try:
            return await receive()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            if sys.version_info >= (3, 11):
                task.uncancel()
            # The rest of the body may still come, so this connection cannot have another request.
            raise HTTPException(408, "the body did not come in time", {"Connection": "close"}) from None
        finally:
            del self._waiting[task]
            self._late.discard(task)

    def _look(self) -> None:
        """Cancel what is late. Look again if anything waits."""
        loop = asyncio.get_running_loop()
        for task, until in self._waiting.items():
            if loop.time() >= until:
                self._late.add(task)
                task.cancel()
        if self._waiting:
            loop.call_later(self._seconds / 4, self._look)
        else:
            self._loop = None
