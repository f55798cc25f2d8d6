from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgerec.bundle.signing import PublicKey
from edgerec.cloud.app import create_app
from edgerec.cloud.embedding_source import BundleFiles, OpenedEmbeddings
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.service import FeedService
from edgerec.cloud.start import open_service
from edgerec.core.errors import FormatError, StoreError
from edgerec.kv.store import EmbeddingTables, Keys, Lookup
from edgerec.paging.log_body import encode_batch
from edgerec.paging.page import PageRequest
from tests.cloud.asking import ask, asked
from tests.cloud.batches import batches_of
from tests.synthetic import make_logs_with_context


def post(app: Any, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Make one request without a server. Return the status and the JSON of the answer."""
    answer = ask(app, "POST", path, body)
    return answer.status, answer.json


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


def test_answers_name_no_file_and_no_server(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = open_service(logs)
    batch = encode_batch(next(iter(batches_of(make_logs_with_context(users=1, requests=2)))))
    with LogWriter(tmp_path / "out", [next(iter(service.versions)).spec], service.catalogue.items) as writer:
        app = create_app(service, writer)
        database = writer._journal._database
        database.execute("PRAGMA query_only = ON")  # As on a disk that became read-only.
        answer = ask(app, "POST", "/v1/logs", batch)
        database.execute("PRAGMA query_only = OFF")
    assert (answer.status, answer.json) == (
        500,
        {"error": "the logs cannot be stored now: the log of the server says more"},
    )
    assert str(tmp_path / "out" / "journal.sqlite") in caplog.text

    def damaged(*_: Any) -> Any:
        raise FormatError("embedding store 10.0.0.5:6379: rows of shop of version v1 should have 16 bytes")

    monkeypatch.setattr(service, "items", damaged)
    answer = ask(app, "POST", "/v1/items", {"item_ids": []})
    assert (answer.status, answer.json) == (500, {"error": "this is a fault of the server: its log says more"})
    assert "10.0.0.5:6379" in caplog.text


class Failing:
    """Tables that fail when the test says so."""

    version_id = "v1"
    error: Exception | None = None
    asked = 0

    def __init__(self, tables: EmbeddingTables) -> None:
        self.tables, self.dimensions = tables, tables.dimensions

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.tables.get_many(keys_by_feature)


class FailingFiles(BundleFiles):
    """A source of such tables, as an application may have one."""

    opened: Failing

    def open(self, cloud: Path, *, public_key: PublicKey | None) -> OpenedEmbeddings:
        found = super().open(cloud, public_key=public_key)
        self.opened = Failing(found.tables)
        return replace(found, tables=self.opened)


@pytest.mark.parametrize("error", [StoreError("no answer"), FormatError("embedding store: a row is damaged")])
def test_ready_says_whether_the_last_look_up_failed_and_makes_none(error: Exception, logs: Path, bundle: Path) -> None:
    source = FailingFiles()
    app = create_app(open_service(logs, [bundle], embeddings=source))
    items = {"version_id": "v1", "item_ids": [100, 101]}

    def ready() -> tuple[int, str]:
        answer = ask(app, "GET", "/v1/ready")
        return answer.status, answer.json["embeddings"]

    def looked_up(body: dict[str, Any]) -> int:
        return ask(app, "POST", "/v1/items", body).status

    assert ready() == (200, "ok")
    source.opened.error = error
    assert ready() == (200, "ok")
    assert looked_up(items) >= 500
    # These look nothing up.
    assert looked_up({"item_ids": [100, 101]}) == 200
    source.opened.error = None
    assert looked_up({"version_id": "v1", "item_ids": []}) == 200
    before = source.opened.asked
    assert ready() == (200, "the last look-up failed")
    assert source.opened.asked == before
    assert looked_up(items) == 200
    assert ready() == (200, "ok")


class Waiting(FeedService):
    """A service whose pages wait until the test lets them go on."""

    go: threading.Event

    def page(self, request: PageRequest) -> Any:
        assert self.go.wait(20)
        return super().page(request)


def test_pages_that_wait_for_redis_do_not_hold_up_logs(logs: Path, tmp_path: Path) -> None:
    service = open_service(logs)
    service.__class__, service.waits = Waiting, True
    service.go = threading.Event()  # type: ignore[attr-defined]
    batch = next(iter(batches_of(make_logs_with_context(users=1, requests=2))))

    async def run(app: Any) -> tuple[int, int]:
        body = {"user_id": 1, "store_id": 1, "count": 3, "time": 9}
        pages = [asyncio.create_task(asked(app, "POST", "/v1/page", body)) for _ in range(50)]
        await asyncio.sleep(0.05)
        try:
            stored = await asyncio.wait_for(asked(app, "POST", "/v1/logs", encode_batch(batch)), 5)
            waiting = sum(not page.done() for page in pages)
        finally:
            service.go.set()  # type: ignore[attr-defined]
        assert {page.status for page in await asyncio.gather(*pages)} == {200}
        return stored.status, waiting

    with LogWriter(tmp_path / "out", [next(iter(service.versions)).spec], service.catalogue.items) as writer:
        assert asyncio.run(run(create_app(service, writer))) == (200, 50)
