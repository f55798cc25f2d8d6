"""Requests to an ASGI application without a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(app: Any, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
    """Make one request. A body that is not bytes is sent as JSON. An exception after the answer is left out."""
    return asyncio.run(asked(app, method, path, body, **headers))


async def asked(app: Any, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
    """Do what `ask` does in a running event loop."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    fields = {"content_type": "application/json", **headers}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "http_version": "1.1",
        "headers": [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in fields.items()],
    }  # fmt: skip
    with contextlib.suppress(ZeroDivisionError):
        await app(scope, receive, send)
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], names, b"".join(message.get("body", b"") for message in sent[1:]))
