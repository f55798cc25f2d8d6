"""`/v1/health` and `/v1/versions`: what the server does."""

from __future__ import annotations

from fastapi import APIRouter, Response

from edgerec.cloud.answers import json_answer
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.service import FeedService


def state_routes(service: FeedService, logs: LogWriter | None) -> APIRouter:
    """Return the routes that say what the server does."""
    router = APIRouter()

    @router.get("/v1/health")
    async def health() -> Response:
        """Return whether the server works, and what it has done."""
        state = {"status": "ok", "versions": service.versions.ids, "items": len(service.catalogue)}
        return json_answer({**state, "logs": None if logs is None else logs.state()})

    @router.get("/v1/versions")
    async def versions() -> Response:
        """Return the versions that are served, in the order of publication, and those that are refused, and why.

        `share` is the share of users that a version is offered to; null: it is not offered.
        """
        served, shares, refused = list(service.versions), service.versions.shares, service.versions.refused
        rows = [
            {
                "version_id": version.version_id,
                "embeddings": dict(version.tables.dimensions),
                "share": shares.get(str(version.version_id)),
            }
            for version in served
            if version.tables is not None
        ]
        return json_answer(
            {
                "versions": rows,
                "refused": [{"version_id": version_id, "error": error} for version_id, error in refused.items()],
            }
        )

    return router
