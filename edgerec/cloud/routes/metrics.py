"""`/metrics`: what the server counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

TEXT = "text/plain"
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "The metrics.", "content": {TEXT: {"schema": {"type": "string"}}}}
}


def metrics_routes(registry: CollectorRegistry) -> APIRouter:
    """Return the route that has all metrics of `registry`."""
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    router = APIRouter()

    @router.get("/metrics", response_class=Response, responses=_ANSWER)
    async def metrics() -> Response:
        """Return the metrics in the text format of Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
