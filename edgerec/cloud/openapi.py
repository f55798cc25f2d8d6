"""The OpenAPI description of the interface: every answer of every route (`/openapi.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from edgerec.cloud.answers import JSON
from edgerec.cloud.front.front import Front
from edgerec.cloud.front.gate import OPEN

Schema = dict[str, Any]

_BEARER = "token"
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "One line for people."},
        "versions": {"type": "array", "items": {"type": "string"}, "description": "The versions that are served."},
        "offered": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "What this user should run."},
    },
}
_INTEGER, _STRING = {"type": "integer"}, {"type": "string"}
_VERSION_ID: Schema = {"anyOf": [_STRING, {"type": "null"}]}


def _object(properties: Mapping[str, Schema], *, required: bool = True) -> Schema:
    return {"type": "object", "properties": dict(properties), **({"required": list(properties)} if required else {})}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_ITEMS: dict[str, Schema] = {
    "version_id": _VERSION_ID,
    "items": _list(
        _object(
            {
                "item_id": _INTEGER,
                "values": {"type": "object"},
                "embeddings": {
                    "type": "object",
                    "additionalProperties": _object({"key": _INTEGER, "row": _list({"type": "number"})}),
                },
            }
        )
    ),
}
_PAGE: dict[str, Schema] = {
    "page_id": _INTEGER,
    "offered_at": _INTEGER,
    "served": _list(_STRING),
    "context": {"type": "object"},
    "complete": {"type": "boolean"},
}
_ANSWERS: dict[str, Schema] = {
    "/v1/page": _object({**_ITEMS, **_PAGE}),
    "/v1/items": _object(_ITEMS),
    "/v1/logs": _object({"stored": {"type": "boolean"}, "dropped_rows": _INTEGER}),
    "/v1/versions": _object(
        {
            "versions": _list(
                _object(
                    {
                        "version_id": _STRING,
                        "embeddings": {"type": "object", "additionalProperties": _INTEGER},
                        "share": {"type": ["number", "null"]},
                    }
                )
            ),
            "refused": _list(_object({"version_id": _STRING, "error": _STRING})),
        }
    ),
    "/v1/health": {**_object({"status": _STRING}), "additionalProperties": True},
    "/v1/ready": _object({"status": _STRING, "embeddings": _STRING}),
}
"""The JSON of the answer 200, by route."""


def describe(app: FastAPI, front: Front) -> None:
    """Let `app` describe all of its answers. The description is made once, when somebody asks for it."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _complete(document, front)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any], front: Front) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Error"] = _ERROR
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)  # FastAPI's own form of errors is not used
    if front.tokens is not None:
        components["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete_operation(path, operation, front)


def _complete_operation(path: str, operation: dict[str, Any], front: Front) -> None:
    answers = operation["responses"]
    if path in _ANSWERS:
        content = answers.setdefault("200", {"description": "Successful Response"}).setdefault("content", {})
        content[JSON] = {"schema": _ANSWERS[path]}
    errors = {"500": "A fault of the server, such as a full disk.", "503": "The server is being started or stopped."}
    if "requestBody" in operation:
        errors["400"] = "The body is cut off, or it is not a batch."
        errors["408"] = "The body did not come in time."
        errors["413"] = "The body is too large."
        errors["422"] = "The body is not valid."
    if path == "/v1/logs":
        errors["404"] = "This server does not store logs."
        errors["415"] = "The body has another encoding than gzip."
    if front.token_rate is not None or (front.user_rate is not None and "requestBody" in operation):
        errors["429"] = "Too many requests. The header Retry-After has the seconds to wait."
    if front.tokens is not None:
        operation["security"] = [{_BEARER: []}] if path not in OPEN else [{}, {_BEARER: []}]
        if path not in OPEN:
            errors["401"] = "A valid token is missing."
    for status, text in errors.items():
        answers.setdefault(status, {"description": text})
    for status, answer in answers.items():
        if status != "200" and int(status) >= 400:
            answer["content"] = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
