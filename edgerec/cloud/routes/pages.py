"""`/v1/page` and `/v1/items`: the next items of a feed, and single items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Response

from edgerec.cloud.answers import JSON, json_answer
from edgerec.cloud.direct_route import DirectRoute
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.messages import ItemsBody, PageBody
from edgerec.cloud.readable import items_document, page_document
from edgerec.cloud.service import FeedService
from edgerec.paging.codec import MEDIA_TYPE, encode_items, encode_page

Found = TypeVar("Found")
THREADS = 32
"""Maximum number of pages and items that wait for embeddings at the same time."""
Accept = Annotated[str, Header(description=f"`{JSON}` for JSON that people can read; otherwise the answer is binary.")]
BINARY: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}, JSON: {}}},
    404: {"description": "The cloud does not serve the version."},
    422: {"description": "The request is not valid, or the cloud does not have an item."},
    503: {"description": "The embeddings cannot be read now. Retry-After says when to ask again."},
}


def page_routes(service: FeedService, user_rate: Rate | None = None) -> APIRouter:
    """Return the routes of pages and items.

    Args:
        service: answers the requests.
        user_rate: how many pages each user may ask for; None: as many as they like.
    """
    router = APIRouter(route_class=DirectRoute)
    # They are not the default threads, which read the batches of logs: a slow Redis must not hold those up.
    threads = ThreadPoolExecutor(THREADS, "edgerec-pages") if service.waits else None

    @router.post("/v1/page", response_class=Response, responses=BINARY)
    async def page(body: PageBody, accept: Accept = "") -> Response:
        """Return the next items of a user's feed."""
        if user_rate is not None:
            user_rate.check(("page", body.user_id), "a user")
        request = body.request()
        found = await _call(lambda: service.page(request), threads)
        if JSON in accept:
            return json_answer(page_document(found))
        return Response(encode_page(found), media_type=MEDIA_TYPE)

    @router.post("/v1/items", response_class=Response, responses=BINARY)
    async def items(body: ItemsBody, accept: Accept = "") -> Response:
        """Return these items in this order."""
        asked = body.version_id, body.item_ids
        found = await _call(lambda: service.items(*asked), threads)
        if JSON in accept:
            return json_answer(items_document(found))
        return Response(encode_items(found), media_type=MEDIA_TYPE)

    return router


async def _call(function: Callable[[], Found], threads: Executor | None) -> Found:
    """Return the result of `function`; with `threads`, call it in one of them."""
    return function() if threads is None else await asyncio.get_running_loop().run_in_executor(threads, function)
