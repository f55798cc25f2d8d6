"""Only the demo's own page may call the demo, and it may load nothing from elsewhere.

A server at a loopback address can be reached by every page that is open in the browser. A foreign page is refused by
its `Origin`, and a name that was made to point here (DNS rebinding) by the `Host`.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgerec.cloud.front.asgi import App, Message, Receive, Send, answer_error, header

READING = ("GET", "HEAD")
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""Headers of every answer."""


class OwnPage:
    """ASGI middleware.

    Args:
        app: the application.
        hosts: the values of the header `Host` that are accepted, such as ``127.0.0.1:8010``.
    """

    def __init__(self, app: App, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = {host.encode() for host in hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        fault = self._fault(scope)
        if fault is not None:
            await answer_error(with_headers, 403, fault)
        else:
            await self._app(scope, receive, with_headers)

    def _fault(self, scope: Message) -> str | None:
        host = header(scope, b"host")
        if host not in self._hosts:
            return "the demo answers only at its own address: see the line that it printed"
        origin = header(scope, b"origin")
        stated = any(name == b"origin" for name, _ in scope["headers"])
        if origin == b"http://" + host or (not stated and scope["method"] in READING):
            return None
        return "only the page of the demo may call it"
