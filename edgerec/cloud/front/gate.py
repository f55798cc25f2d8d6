"""ASGI middleware that lets a request in only if it has a valid token, and not too often."""

from __future__ import annotations

from edgerec.cloud.front.asgi import CALLER, App, Message, Receive, Send, answer_error, header, local_path
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.front.tokens import Tokens

OPEN = frozenset(("/v1/health", "/v1/ready"))
"""The paths that answer without a token. They then say only whether the server works."""
UNAUTHORIZED = "a valid token is missing: send the header 'Authorization: Bearer TOKEN'"


class Gate:
    """Lets a request in if its token is valid. `scope[CALLER]` becomes the name of the token, or None.

    Args:
        app: what answers the requests that are let in.
        tokens: the tokens that are accepted.
        rate: how many requests each token may make; None: as many as it likes.
    """

    def __init__(self, app: App, tokens: Tokens, rate: Rate | None = None) -> None:
        self._app, self._tokens, self._rate = app, tokens, rate

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There is no route for WebSockets. Closing before accepting is the answer 403.
            await send({"type": "websocket.close", "code": 1008})
            return
        name = self._tokens.name_of(header(scope, b"authorization"))
        scope[CALLER] = name
        if name is None and local_path(scope) not in OPEN:
            await answer_error(send, 401, UNAUTHORIZED, [(b"www-authenticate", b"Bearer")])
            return
        if name is not None and self._rate is not None:
            wait = self._rate.wait(name)
            if wait:
                text = f"this token may make {self._rate.text} requests: try again later"
                await answer_error(send, 429, text, [(b"retry-after", str(wait).encode())])
                return
        await self._app(scope, receive, send)
