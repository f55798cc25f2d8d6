"""The answers of the HTTP interface: JSON, and one object with the field `error` for every fault (docs/cloud.md)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from edgerec.cloud.front.rates import TooManyRequestsError
from edgerec.cloud.log_rows import WrongRowsError
from edgerec.cloud.log_writer import BusyLogsError
from edgerec.cloud.service import UnknownItemsError
from edgerec.cloud.versions import UnknownVersionError
from edgerec.core.errors import EdgeRecError, InputError, OutputError, StoreError, TransportError
from edgerec.core.faults import fault_text
from edgerec.core.text import printable
from edgerec.paging.log_body import TooLargeError

JSON = "application/json"
_NOT_JSON = "the body is not valid JSON"
_LOGGED = (EdgeRecError, InputError, OutputError)
"""The kinds of errors that are no fault of who asks."""
_LOG = logging.getLogger(__name__)


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a JSON document."""
    return Response(json.dumps(document, allow_nan=False), status, headers, media_type=JSON)


def is_json(content_type: str) -> bool:
    """Return whether the header `Content-Type` says JSON."""
    return content_type.partition(";")[0].strip().lower() == JSON


def add_errors(app: FastAPI) -> None:
    """Let every error become one JSON object with the field `error`."""

    def add(kind: type[Exception], answer: Callable[[Any], tuple[int, str]]) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            status, text = answer(error)
            if isinstance(error, RequestValidationError):
                text = _body_fault(error, request.headers.get("content-type", ""))
            elif kind in _LOGGED:
                # Applications that need the traceback set the level DEBUG.
                _LOG.error(printable(str(error)), exc_info=error if _LOG.isEnabledFor(logging.DEBUG) else None)
            more = error.more if isinstance(error, UnknownVersionError) else {}
            document = {"error": printable(text), **more}
            return json_answer(document, status, _headers(error))

        app.add_exception_handler(kind, handle)

    add(UnknownVersionError, lambda error: (404, str(error)))
    add(UnknownItemsError, lambda error: (422, str(error)))
    add(TooLargeError, lambda error: (413, str(error)))
    add(TooManyRequestsError, lambda error: (429, str(error)))
    add(TransportError, lambda error: (400, str(error)))
    add(WrongRowsError, lambda error: (422, str(error)))
    # These texts may name files or the address of Redis. Only the log has them.
    add(EdgeRecError, lambda error: (500, "this is a fault of the server: its log says more"))
    add(OutputError, lambda error: (500, "the logs cannot be stored now: the log of the server says more"))
    add(InputError, lambda error: (500, str(error)))
    add(BusyLogsError, lambda error: (503, str(error)))
    app.add_exception_handler(StoreError, _no_embeddings)
    add(Exception, lambda error: (500, f"this is a fault of the server ({type(error).__name__})"))
    add(ClientDisconnect, lambda error: (400, "the connection ended before the body"))
    add(HTTPException, _http_fault)
    add(RequestValidationError, lambda error: (422, str(error)))


def _headers(error: Exception) -> Mapping[str, str] | None:
    """Return the headers that belong to an error: the methods that a route has, or when to try again."""
    if isinstance(error, TooManyRequestsError):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, BusyLogsError):
        return {"Retry-After": "1"}
    return error.headers if isinstance(error, HTTPException) else None


async def _no_embeddings(_: Request, error: Exception) -> Response:
    """Answer that the embeddings cannot be read. A page without them would be scored with wrong vectors."""
    # Only the log names the server.
    _LOG.warning(printable(str(error)))
    answer = json_answer({"error": "the embeddings cannot be read now: ask again later"}, 503)
    answer.headers["Retry-After"] = "1"
    return answer


def _http_fault(error: HTTPException) -> tuple[int, str]:
    if error.detail == "There was an error parsing the body":
        # FastAPI answers so to a body that is not UTF-8.
        return 422, _NOT_JSON
    if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return 404, "Not Found: /docs describes the interface, and /v1/health says what the server does"
    return error.status_code, str(error.detail)


def _body_fault(error: RequestValidationError, content_type: str) -> str:
    """Return the first fault of a body in one line."""
    fault = error.errors()[0]
    if isinstance(fault.get("input"), bytes) and not is_json(content_type):
        return f"the body should be JSON with the header 'Content-Type: {JSON}'; received {content_type!r:.60}"
    if fault["type"] == "json_invalid":
        return _NOT_JSON
    return fault_text(fault)
