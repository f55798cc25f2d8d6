"""The web application of the demo: its page, and JSON calls with what the user did. Each is answered with the order."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response

from edgerec.cloud.answers import add_errors, json_answer
from edgerec.cloud.body_limit import BodyLimit
from edgerec.core.errors import InputError, StoreError
from edgerec.core.text import printable
from edgerec.demo.bucket import UnknownSessionError, UntoldError
from edgerec.demo.events import EventsBody, SessionBody
from edgerec.demo.own_page import OwnPage
from edgerec.demo.sessions import Sessions

MOST_BODY = 256 * 1024
"""The largest body in bytes: 200 events need less."""
STORE_FAULT = "the demo cannot store what you did: its terminal says why"
_LOG = logging.getLogger(__name__)
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/demo.css": ("demo.css", "text/css; charset=utf-8"),
    "/demo.js": ("demo.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def create_demo(sessions: Sessions, hosts: Iterable[str]) -> FastAPI:
    """Return the application.

    Args:
        sessions: the sessions.
        hosts: the values of the header `Host` that are accepted.
    """
    app = FastAPI(title="EdgeRec demo", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    folder = files("edgerec.demo") / "page"
    for path, (name, media_type) in PAGE.items():
        _add_file(app, path, (folder / name).read_bytes(), media_type)

    @app.post("/api/session")
    def session(body: SessionBody) -> dict[str, Any]:
        """Return both feeds of a session, or of a new one."""
        return sessions.open(body.session)

    @app.post("/api/reset")
    def reset(body: SessionBody) -> dict[str, Any]:
        """End the session, and return both feeds of a new user."""
        return sessions.reset(body.session)

    @app.post("/api/events")
    def events(body: EventsBody) -> dict[str, Any]:
        """Report what the user did in one bucket, and return its order."""
        return sessions.report(body)

    @app.post("/api/looked-at")
    def looked_at(body: SessionBody) -> dict[str, Any]:
        """Return what the model looked at in the latest re-rank of bucket B."""
        return sessions.get(body.session or "").feeds["B"].looked_at()

    add_errors(app)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(UnknownSessionError, _gone)
    app.add_exception_handler(UntoldError, _untold)
    app.add_exception_handler(StoreError, _no_store)
    app.add_middleware(BodyLimit, most=MOST_BODY)
    app.add_middleware(OwnPage, hosts=tuple(hosts))
    return app


def _add_file(app: FastAPI, path: str, content: bytes, media_type: str) -> None:
    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type)

    app.add_route(path, answer, methods=["GET", "HEAD"])


async def _refused(_: Request, error: Exception) -> Response:
    return json_answer({"error": str(error)}, 422)


async def _gone(_: Request, error: Exception) -> Response:
    return json_answer({"error": str(error)}, 410)


async def _untold(_: Request, error: Any) -> Response:
    """Answer how many events were taken. With 503, the page reports the rest again, with 422 without the wrong one."""
    if not error.again:
        return json_answer({"error": str(error), "told": error.told}, 422)
    _LOG.warning(printable(str(error)))
    return json_answer({"error": STORE_FAULT, "told": error.told}, 503)


async def _no_store(_: Request, error: Exception) -> Response:
    _LOG.error(printable(str(error)))
    return json_answer({"error": STORE_FAULT}, 500)
