"""What a server does once before it listens, so that the first device does not wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI

from edgerec.cloud.answers import JSON
from edgerec.cloud.service import FeedService

_ITEMS, _REQUESTS = 100, 3
_NOBODY = -1
"""The user of the pages. No user has to be known to the recall."""


def warm(service: FeedService, app: FastAPI, *, recalls: bool) -> None:
    """Answer some requests of every version, and leave what is in memory now out of later garbage collections.

    The first calls of NumPy, of the codec and of the routes take tens of milliseconds, and the first look-ups read the
    tables from the disk. A fault, such as a Redis that does not answer, is for the device that meets it.

    Args:
        service: answers the requests.
        app: the application.
        recalls: whether the recall may be asked, too. A recall of an application may take it for a request of a device.
    """
    some = service.catalogue.ids[:_ITEMS].tolist()
    for version in service.versions:
        items = {"version_id": version.version_id, "item_ids": some}
        page = {"user_id": _NOBODY, "store_id": 0, "version_id": version.version_id, "count": _ITEMS, "time": 0}
        for path, body in (("/v1/items", items), ("/v1/page", page))[: 1 + recalls]:
            for _ in range(_REQUESTS):
                with contextlib.suppress(Exception):  # the answer was the status 500
                    asyncio.run(_ask(app, path, json.dumps(body).encode()))
    # A full collection looks at every object. With the 80,000 objects of a server it took 61 to 85 ms.
    gc.collect()
    gc.freeze()


async def _ask(app: FastAPI, path: str, body: bytes) -> None:
    """Make one request without HTTP, and without the layers in front of the routes: no token, no metrics, no log."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(_: MutableMapping[str, Any]) -> None: ...

    headers = [(b"content-type", JSON.encode())]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "http_version": "1.1"}
    front, app.user_middleware = app.user_middleware, []
    try:
        layers = app.build_middleware_stack()
    finally:
        app.user_middleware = front
    await layers({**scope, "headers": headers, "app": app}, receive, send)
