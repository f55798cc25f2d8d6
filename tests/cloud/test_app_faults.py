from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from edgerec.cloud.app import create_app
from edgerec.cloud.start import open_service


def post(app: Any, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Make one request without a server. Return the status and the JSON of the answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "http_version": "1.1",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    with contextlib.suppress(ZeroDivisionError):  # It is raised again after the answer, so that the server logs it.
        asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


class Broken:
    """A recall that fails."""

    def candidates(self, *_: Any) -> Any:
        raise ValueError("no shelf\nfor this user")

    def learn(self, events: Any) -> None: ...


def test_a_fault_of_the_application_is_one_json_error_and_one_line_of_the_log(
    logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(open_service(logs, recall=lambda ids: Broken()))
    with caplog.at_level(logging.WARNING):
        status, document = post(app, "/v1/page", {"user_id": 1, "store_id": 1, "count": 3, "time": 9})
    text = "recall: `candidates` raised ValueError: no shelf"
    assert (status, document) == (500, {"error": text})
    assert [record.getMessage() for record in caplog.records] == [text]
    assert caplog.records[0].exc_info is None


def test_any_other_fault_is_json_too(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = open_service(logs)
    monkeypatch.setattr(service, "items", lambda *_: 1 / 0)
    status, document = post(create_app(service), "/v1/items", {"item_ids": []})
    assert (status, document) == (500, {"error": "this is a fault of the server (ZeroDivisionError)"})
