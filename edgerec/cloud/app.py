"""The HTTP interface of the cloud, as a FastAPI application (docs/cloud.md)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from edgerec import __version__
from edgerec.cloud.answers import add_errors
from edgerec.cloud.body_limit import BodyLimit
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.routes.logs import MAX_REQUEST, log_routes
from edgerec.cloud.routes.models import model_routes
from edgerec.cloud.routes.pages import page_routes
from edgerec.cloud.routes.state import state_routes
from edgerec.cloud.service import FeedService


def create_app(service: FeedService, logs: LogWriter | None = None) -> FastAPI:
    """Return the application. It has no settings: run it with any ASGI server, or mount it in an application of yours.

    Args:
        service: answers the requests.
        logs: writes the logs of devices. It is closed when the application ends. None: logs are refused.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if logs is not None:
            await asyncio.to_thread(logs.close)

    app = FastAPI(title="EdgeRec cloud", version=__version__, lifespan=lifespan)
    app.add_middleware(BodyLimit, most=MAX_REQUEST)
    add_errors(app)
    for router in (page_routes(service), model_routes(service.versions), log_routes(logs), state_routes(service, logs)):
        app.include_router(router)
    return app
