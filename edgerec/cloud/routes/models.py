"""`/v1/model`: which version a user should run, and the files of its device half (docs/formats.md, "Model offers")."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

from edgerec.cloud.answers import json_answer
from edgerec.cloud.byte_range import UnsatisfiableRangeError, byte_range
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.messages import ModelBody, ModelOffer
from edgerec.cloud.versions import Versions

BYTES = "application/octet-stream"
_CONTENT: dict[str, Any] = {"content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", **_CONTENT},
    206: {"description": "The part that the header `Range` asks for.", **_CONTENT},
    304: {"description": "The device has the file: `If-None-Match` is its ETag."},
    404: {"description": "The cloud does not serve the version, or the version has no such file for devices."},
    416: {"description": "The range begins at or after the end of the file."},
}
Text = Annotated[str | None, Header()]


def model_routes(versions: Versions, user_rate: Rate | None = None) -> APIRouter:
    """Return the routes of model offers and their files.

    Args:
        versions: what is served.
        user_rate: how many offers each user may ask for; None: as many as they like.
    """
    router = APIRouter()

    @router.post("/v1/model", responses={200: {"model": ModelOffer}})
    async def offer(body: ModelBody) -> Response:
        """Return the version that a user should run, and the files that the device lacks."""
        if user_rate is not None:
            user_rate.check(("model", body.user_id), "a user")
        offered = versions.offered(body.user_id)
        version_id = offered and offered.version_id
        wanted = offered is not None and offered.device is not None and version_id != body.version_id
        files = offered.device.offer() if wanted and offered and offered.device else []
        total = sum(file["bytes"] for file in files)
        return json_answer({"schema": 1, "version_id": version_id, "files": files, "bytes": total})

    @router.get("/v1/model/{version_id}/{path:path}", response_class=Response, responses=_FILE)
    async def file(
        version_id: str,
        path: str,
        range: Text = None,
        if_range: Text = None,
        if_none_match: Text = None,
    ) -> Response:
        """Return a file of a version, or a part of it. Only files that the version's device manifest names exist."""
        version = versions.get(version_id)
        # The path of a request is only looked up here. It never becomes a path on the disk.
        found = version.device.files.get(path) if version.device is not None else None
        if found is None:
            raise HTTPException(404, f"version {version_id!r:.80} has no file {path!r:.80} for devices")
        tag, size = f'"{found.sha256}"', len(found.content)
        headers = {"ETag": tag, "Accept-Ranges": "bytes"}
        if if_none_match is not None and tag in if_none_match:
            return Response(status_code=304, headers=headers)
        try:
            part = byte_range(range, size) if if_range in (None, tag) else None
        except UnsatisfiableRangeError:
            raise HTTPException(
                416,
                f"the range should begin before the end of the file, {size} bytes; received {range!r:.60}",
                {"Content-Range": f"bytes */{size}"},
            ) from None
        if part is None:
            return Response(found.content, headers=headers, media_type=BYTES)
        start, stop = part
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return Response(found.content[start:stop], 206, headers, media_type=BYTES)

    return router
