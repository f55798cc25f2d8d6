"""Bodies that come slowly, or not completely."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edgerec.cloud.app import create_app
from edgerec.cloud.body_limit import BodyLimit
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.start import open_service

Receive = Callable[[], Awaitable[dict[str, Any]]]


def dripping(*messages: dict[str, Any], then: Receive) -> Receive:
    """Return a body that comes as `messages`, and then as `then` does."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0) if left else await then()

    return receive


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def slowly() -> dict[str, Any]:
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b" ", "more_body": True}


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def answer(app: Any, path: str, receive: Receive) -> tuple[int, Any, dict[bytes, bytes]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "http_version": "1.1",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"])


HALF = {"type": "http.request", "body": b'{"user_id":', "more_body": True}


@pytest.mark.parametrize("path", ["/v1/page", "/v1/logs"])
def test_a_body_that_does_not_come_is_given_up(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgerec.cloud.app.BodyLimit", lambda app, most: BodyLimit(app, most, 0.1))
    service = open_service(logs)
    with LogWriter(tmp_path / "out", [each.spec for each in service.versions], service.catalogue.items) as writer:
        app = create_app(service, writer)
        for end in (never, slowly):
            status, document, headers = answer(app, path, dripping(HALF, then=end))
            assert (status, document) == (408, {"error": "the body did not come in time"})
            assert headers[b"connection"] == b"close"
        with caplog.at_level(logging.WARNING):
            status, document, _ = answer(app, path, dripping(HALF, then=gone))
        assert (status, document) == (400, {"error": "the connection ended before the body"})
        assert not caplog.records
