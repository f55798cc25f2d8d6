"""What all ASGI middleware here shares: the types, the path of a request, its headers, and a JSON answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

CALLER = "edgerec.caller"
"""The key of the scope for the name of the token that the request has. Without tokens, the scope does not have it."""
REQUEST_ID = "edgerec.request_id"
"""The key of the scope for the ID of the request. It exists if the server keeps an access log or metrics."""
VERSION = "edgerec.version"
"""The key of the scope for the model version of the device. Routes set it once they know that it is served."""


def local_path(scope: Message) -> str:
    """Return the path of a request within the application, which may be mounted in another one."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path


def header(scope: Message, name: bytes) -> bytes | None:
    """Return the value of a header; None if there is none, or if there are several. `name` is in lower case."""
    found = None
    for key, value in scope["headers"]:
        if key == name:
            if found is not None:
                return None
            found = value
    return found


async def answer_error(send: Send, status: int, text: str, headers: Iterable[Header] = ()) -> None:
    """Answer with one JSON object that has the field `error`."""
    body = json.dumps({"error": text}).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
