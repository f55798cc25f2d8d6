"""Routes whose body is parsed at once from its bytes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError

from edgerec.cloud.answers import is_json
from edgerec.cloud.front.asgi import VERSION


class DirectRoute(APIRoute):
    """A route whose endpoint has the parameters `body`, a pydantic model with `version_id`, and `accept`, the header.

    FastAPI describes the route in OpenAPI as any other. But it does not resolve dependencies, and the body becomes a
    model without Python objects in between. That saves about a third of a millisecond of a request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers a request."""
        endpoint = self.endpoint
        model = get_type_hints(endpoint)["body"]

        async def handle(request: Request) -> Response:
            content = await request.body()
            if not is_json(request.headers.get("content-type", "")):
                raise RequestValidationError([{"type": "model_type", "loc": ("body",), "msg": "", "input": content}])
            try:
                body = model.model_validate_json(content)
            except ValidationError as error:
                raise RequestValidationError(
                    [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
                ) from None
            answer: Response = await endpoint(body, request.headers.get("accept", ""))
            # The endpoint has found the version, so its name may become a label of the metrics.
            request.scope[VERSION] = body.version_id
            return answer

        return handle
