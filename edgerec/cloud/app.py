"""The HTTP interface of the cloud, as a FastAPI application (docs/cloud.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from edgerec import __version__
from edgerec.cloud.body_limit import BodyLimit
from edgerec.cloud.log_rows import WrongRowsError
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.messages import ItemsBody, PageBody
from edgerec.cloud.readable import items_document, page_document
from edgerec.cloud.service import FeedService, UnknownItemsError
from edgerec.cloud.versions import UnknownVersionError
from edgerec.core.errors import EdgeRecError, TransportError
from edgerec.core.faults import fault_text
from edgerec.core.text import printable
from edgerec.paging.codec import MEDIA_TYPE, encode_items, encode_page
from edgerec.paging.log_body import TooLargeError, decode_batch, inflate
from edgerec.paging.log_rows import LogBatch

MAX_REQUEST = 8 * 1024 * 1024
"""Maximum length of the body of a request in bytes. A compressed body may have this length after inflation, too."""
JSON = "application/json"

Accept = Annotated[str, Header(description=f"`{JSON}` for JSON that people can read; otherwise the answer is binary.")]
BINARY: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}, JSON: {}}},
    404: {"description": "The cloud does not serve the version."},
    422: {"description": "The request is not valid, or the cloud does not have an item."},
}


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
    _add_errors(app, service)

    @app.post("/v1/page", response_class=Response, responses=BINARY)
    async def page(body: PageBody, accept: Accept = "") -> Response:
        """Return the next items of a user's feed."""
        found = service.page(body.request())
        return _json(page_document(found)) if JSON in accept else Response(encode_page(found), media_type=MEDIA_TYPE)

    @app.post("/v1/items", response_class=Response, responses=BINARY)
    async def items(body: ItemsBody, accept: Accept = "") -> Response:
        """Return these items in this order."""
        found = service.items(body.version_id, body.item_ids)
        return _json(items_document(found)) if JSON in accept else Response(encode_items(found), media_type=MEDIA_TYPE)

    @app.post("/v1/logs", openapi_extra=_LOGS)
    async def store_logs(request: Request) -> Response:
        """Store a batch of log rows. The batch is on disk when the answer comes. A repeated batch is dropped."""
        if logs is None:
            raise HTTPException(404, "this server does not store logs: start it with --logs")
        content = await request.body()
        encoding = request.headers.get("content-encoding", "identity")
        if encoding not in ("gzip", "identity"):
            raise HTTPException(415, f"the encoding should be gzip or none; received {encoding[:40]!r}")
        batch = await asyncio.to_thread(_batch, content, compressed=encoding == "gzip")
        return _json(await asyncio.wrap_future(logs.submit(batch)))

    @app.get("/v1/health")
    async def health() -> Response:
        """Return whether the server works, and what it has done."""
        state = {"status": "ok", "versions": service.versions.ids, "items": len(service.catalogue)}
        return _json({**state, "logs": None if logs is None else logs.state()})

    @app.get("/v1/versions")
    async def versions() -> Response:
        """Return the versions that are served, and the dimension of each embedding."""
        return _json(
            {
                "versions": [
                    {"version_id": version.version_id, "embeddings": dict(version.tables.dimensions)}
                    for version in service.versions
                    if version.tables is not None
                ]
            }
        )

    return app


_NOT_JSON = "the body is not valid JSON"
_LOG = logging.getLogger(__name__)
_LOGS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The batch as JSON, or as JSON that is compressed with gzip (Content-Encoding: gzip).",
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["user_id", "store_id", "number", "events", "requests"],
                    "properties": {
                        **{name: {"type": "integer", "format": "int64"} for name in ("user_id", "store_id", "number")},
                        **{name: {"type": "array", "items": {"type": "object"}} for name in ("events", "requests")},
                    },
                }
            }
        },
    }
}


def _batch(content: bytes, *, compressed: bool) -> LogBatch:
    return decode_batch(inflate(content, most=MAX_REQUEST) if compressed else content)


def _json(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document, allow_nan=False), status, media_type=JSON)


def _add_errors(app: FastAPI, service: FeedService) -> None:
    """Let every error become one JSON object with the field `error`."""

    def add(kind: type[Exception], answer: Callable[[Any], tuple[int, str]], **more: Callable[[], Any]) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            status, text = answer(error)
            if isinstance(error, RequestValidationError):
                text = _body_fault(error, request.headers.get("content-type", ""))
            elif kind is EdgeRecError:
                # Applications that need the traceback set the level DEBUG.
                _LOG.error(printable(text), exc_info=error if _LOG.isEnabledFor(logging.DEBUG) else None)
            return _json({"error": printable(text), **{name: value() for name, value in more.items()}}, status)

        app.add_exception_handler(kind, handle)

    add(UnknownVersionError, lambda error: (404, str(error)), versions=lambda: service.versions.ids)
    add(UnknownItemsError, lambda error: (422, str(error)))
    add(TooLargeError, lambda error: (413, str(error)))
    add(TransportError, lambda error: (400, str(error)))
    add(WrongRowsError, lambda error: (422, str(error)))
    add(EdgeRecError, lambda error: (500, str(error)))
    add(Exception, lambda error: (500, f"this is a fault of the server ({type(error).__name__})"))
    add(HTTPException, _http_fault)
    add(RequestValidationError, lambda error: (422, str(error)))


def _http_fault(error: HTTPException) -> tuple[int, str]:
    if error.detail == "There was an error parsing the body":
        # FastAPI answers so to a body that is not UTF-8.
        return 422, _NOT_JSON
    return error.status_code, str(error.detail)


def _body_fault(error: RequestValidationError, content_type: str) -> str:
    """Return the first fault of a body in one line."""
    fault = error.errors()[0]
    media_type = content_type.partition(";")[0].strip().lower()
    if isinstance(fault.get("input"), bytes) and media_type != JSON:
        return f"the body should be JSON with the header 'Content-Type: {JSON}'; received {content_type!r:.60}"
    if fault["type"] == "json_invalid":
        return _NOT_JSON
    return fault_text(fault)
