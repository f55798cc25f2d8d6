"""`/v1/logs`: batches of log rows from devices."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from edgerec.cloud.answers import JSON, json_answer
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.log_writer import LogWriter
from edgerec.paging.log_body import MAX_COLUMNS, MAX_ROWS, MAX_VALUES, decode_batch, inflate
from edgerec.paging.log_rows import LogBatch

MAX_REQUEST = 8 * 1024 * 1024
"""Maximum length of the body of a request in bytes. A compressed body may have this length after inflation, too."""
PARSED = 2
"""Number of bodies that are parsed at the same time. A body of 8 MiB becomes some 60 MB of rows."""
_NATURAL: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_VALUE: dict[str, Any] = {"type": ["boolean", "string", "null", "number"]}
_ROWS: dict[str, Any] = {
    "type": "array",
    "maxItems": MAX_ROWS,
    "items": {
        "type": "object",
        "maxProperties": MAX_COLUMNS,
        "additionalProperties": {"anyOf": [_VALUE, {"type": "array", "maxItems": MAX_VALUES, "items": _VALUE}]},
    },
}
_BATCH: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The batch as JSON, or as JSON that is compressed with gzip (Content-Encoding: gzip).",
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["user_id", "store_id", "number", "events", "requests"],
                    "additionalProperties": False,
                    "properties": {
                        "user_id": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
                        "store_id": _NATURAL,
                        "number": _NATURAL,
                        "events": _ROWS,
                        "requests": _ROWS,
                    },
                }
            }
        },
    }
}


def log_routes(logs: LogWriter | None, user_rate: Rate | None = None) -> APIRouter:
    """Return the route of logs.

    Args:
        logs: stores the batches; None: they are refused.
        user_rate: how many batches each user may send; None: as many as they like.
    """
    router = APIRouter()
    parsing = asyncio.Semaphore(PARSED)

    @router.post("/v1/logs", openapi_extra=_BATCH)
    async def store_logs(request: Request) -> Response:
        """Store a batch of log rows. The batch is on disk when the answer comes. A repeated batch is dropped."""
        if logs is None:
            raise HTTPException(404, "this server does not store logs: start it with --logs")
        content = await request.body()
        encoding = request.headers.get("content-encoding", "identity")
        if encoding not in ("gzip", "identity"):
            raise HTTPException(415, f"the encoding should be gzip or none; received {encoding[:40]!r}")
        async with parsing:
            batch, body = await asyncio.to_thread(_batch, content, compressed=encoding == "gzip")
        if user_rate is not None:
            user_rate.check(("logs", batch.user_id), "a user")
        return json_answer(await asyncio.wrap_future(logs.submit(batch, body=body)))

    return router


def _batch(content: bytes, *, compressed: bool) -> tuple[LogBatch, bytes]:
    """Return the batch and its JSON."""
    body = inflate(content, most=MAX_REQUEST) if compressed else content
    return decode_batch(body), body
