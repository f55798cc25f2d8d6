"""ASGI middleware that gives each request an ID, counts its answer, and writes a line of the access log."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection

from edgerec.cloud.front.access_log import AccessLog
from edgerec.cloud.front.asgi import (
    CALLER,
    REQUEST_ID,
    VERSION,
    App,
    Message,
    Receive,
    Send,
    answer_error,
    header,
    local_path,
)
from edgerec.cloud.front.traffic import Traffic

OTHER = "other"
"""The route of a request whose path belongs to no route. The path itself comes from outside, so it is never a label."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Observed:
    """Watches the requests of `app`. The answer has the header `X-Request-Id`, also if it is an error.

    Args:
        app: what answers.
        traffic: counts the answers.
        log: gets a line for each answer; None: there is no access log.
        paths: the paths of the routes. They name the route of a request that was not let in.
    """

    def __init__(self, app: App, traffic: Traffic, log: AccessLog | None = None, paths: Collection[str] = ()) -> None:
        self._app, self._traffic, self._log, self._paths = app, traffic, log, frozenset(paths)
        self._prefix, self._number = secrets.token_hex(4), 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        given = header(scope, b"x-request-id")
        if given is not None and _ID.fullmatch(given):
            request_id = given
        else:
            self._number += 1
            request_id = f"{self._prefix}-{self._number:x}".encode()
        scope[REQUEST_ID] = request_id.decode()
        status = sent = 0

        async def observed(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        self._traffic.open += 1
        try:
            await self._app(scope, receive, observed)
        except Exception as error:
            # The application logs the fault and raises it again after its answer, which has no request ID. So the same
            # answer is given here.
            if not status:
                await answer_error(observed, 500, f"this is a fault of the server ({type(error).__name__})")
            raise
        finally:
            self._traffic.open -= 1
            self._count(scope, status, sent, time.perf_counter() - start)

    def _count(self, scope: Message, status: int, sent: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        if route is None:
            path = local_path(scope)
            route = path if path in self._paths else OTHER
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        version = scope.get(VERSION)
        # The status 0 stands for a request whose client went away before the answer.
        self._traffic.add(route, method, status, seconds=seconds, sent=sent, version=version)
        if self._log is not None:
            self._log.write(
                request_id=scope[REQUEST_ID],
                caller=scope.get(CALLER),
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 3),
                version=version,
                bytes=sent,
            )
