"""`/v1/health`, `/v1/ready` and `/v1/versions`: what the server does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from edgerec.cloud.answers import json_answer
from edgerec.cloud.front.asgi import CALLER
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.service import FeedService

_OK = {"status": "ok"}


def state_routes(
    service: FeedService,
    logs: LogWriter | None,
    fault: Callable[[], str | None] = lambda: None,
) -> APIRouter:
    """Return the routes that say what the server does.

    Args:
        service: answers the requests.
        logs: writes the logs of devices; None: there are none.
        fault: returns why the server should get no requests now; None: it should get them.
    """
    router = APIRouter()

    @router.get("/v1/health")
    async def health(request: Request) -> Response:
        """Return that the process works, and what it has done. Without a token, if there are tokens: only the first."""
        if request.scope.get(CALLER, "") is None:
            return json_answer(_OK)
        state: dict[str, Any] = {**_OK, "versions": service.versions.ids, "items": len(service.catalogue)}
        return json_answer({**state, "logs": None if logs is None else logs.state()})

    @router.get("/v1/ready")
    def ready() -> Response:
        """Return whether the server should get requests, and in `embeddings` whether the last look-up of them failed.

        It should get none while it stops, or if its disk is full. It stays ready without Redis. All servers share one
        Redis, so another server would not help. Redis is not asked here: a probe must not wait for it.
        """
        found = fault()
        if found is not None:
            return json_answer({"error": found}, 503)
        return json_answer({**_OK, "embeddings": "the last look-up failed" if service.look_up_failed else "ok"})

    @router.get("/v1/versions")
    async def versions() -> Response:
        """Return the versions that are served, in the order of publication, and those that are refused, and why.

        `share` is the share of users that a version is offered to; null: it is not offered.
        """
        now = service.versions.now
        shares = now.shares()
        rows = [
            {
                "version_id": version.version_id,
                "embeddings": dict(version.tables.dimensions),
                "share": shares.get(str(version.version_id)),
            }
            for version in now.versions.values()
            if version.tables is not None
        ]
        return json_answer(
            {
                "versions": rows,
                "refused": [{"version_id": version_id, "error": error} for version_id, error in now.refused.items()],
            }
        )

    return router
