"""The HTTP interface of the cloud, as a FastAPI application (docs/cloud.md)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI

from edgerec import __version__
from edgerec.cloud.answers import add_errors
from edgerec.cloud.body_limit import BodyLimit
from edgerec.cloud.front.front import NO_FRONT, Front
from edgerec.cloud.front.gate import Gate
from edgerec.cloud.front.metrics import ServerCollector
from edgerec.cloud.front.observed import Observed
from edgerec.cloud.front.traffic import Traffic
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.openapi import describe
from edgerec.cloud.routes.logs import MAX_REQUEST, log_routes
from edgerec.cloud.routes.metrics import metrics_routes
from edgerec.cloud.routes.models import model_routes
from edgerec.cloud.routes.pages import page_routes
from edgerec.cloud.routes.state import state_routes
from edgerec.cloud.service import FeedService


def create_app(
    service: FeedService,
    logs: LogWriter | None = None,
    *,
    front: Front = NO_FRONT,
) -> FastAPI:
    """Return the application. It has no settings: run it with any ASGI server, or mount it in an application of yours.

    Args:
        service: answers the requests.
        logs: writes the logs of devices. It is closed when the application ends. None: logs are refused.
        front: who may ask and how often, and what can be seen from outside; default: everybody, as often as they like,
            without metrics and access log.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if logs is not None:
            await asyncio.to_thread(logs.close)

    app = FastAPI(title="EdgeRec cloud", version=__version__, lifespan=lifespan, redirect_slashes=False, redoc_url=None)
    traffic = Traffic()
    routers = [
        page_routes(service, front.user_rate),
        model_routes(service.versions, front.user_rate),
        log_routes(logs, front.user_rate),
        state_routes(service, logs, front.fault),
    ]
    if front.metrics:
        collector = ServerCollector(traffic, service, logs, front.access_log, front.user_rate)
        routers.append(metrics_routes(collector.registry()))
    for router in routers:
        app.include_router(router)
    add_errors(app)
    describe(app, front)
    _add_middleware(app, front, traffic, routers)
    return app


def _add_middleware(app: FastAPI, front: Front, traffic: Traffic, routers: list[APIRouter]) -> None:
    """Add what stands in front of the routes. The last one that is added is the first one that a request meets."""
    app.add_middleware(BodyLimit, most=MAX_REQUEST)
    if front.tokens is not None:
        app.add_middleware(Gate, tokens=front.tokens, rate=front.token_rate)
    if front.metrics or front.access_log is not None:
        paths = {getattr(route, "path", "") for router in routers for route in router.routes}
        app.add_middleware(Observed, traffic=traffic, log=front.access_log, paths=paths)
