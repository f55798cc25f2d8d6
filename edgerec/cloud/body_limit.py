"""Limits the size of the bodies that the server reads."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from edgerec.cloud.front.asgi import App, Message, Receive, Send


class BodyLimit:
    """ASGI middleware. It stops reading a body that is larger than `most` bytes, so it never is in memory."""

    def __init__(self, app: App, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = 0

        async def limited() -> Message:
            nonlocal length
            message = await receive()
            length += len(message.get("body", b""))
            if length > self._most:
                raise HTTPException(413, f"the body should have at most {self._most} bytes; it has more")
            return message

        await self._app(scope, limited, send)
