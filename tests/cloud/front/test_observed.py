from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgerec.cloud.app import create_app
from edgerec.cloud.front.access_log import AccessLog
from edgerec.cloud.front.front import Front
from edgerec.cloud.front.tokens import Tokens
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.start import open_service
from edgerec.core.errors import OutputError
from edgerec.paging.log_body import encode_batch
from tests.cloud.asking import ask
from tests.cloud.batches import batches_of
from tests.cloud.front.test_tokens import OLD, PAGE
from tests.full_disk import files_up_to
from tests.synthetic import make_logs_with_context


def sample(text: str, name: str, **labels: str) -> float:
    """Return the value of one sample of the metrics."""
    found = [
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == name and each.labels == labels
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_metrics_count_what_was_answered(logs: Path, bundle: Path, tmp_path: Path) -> None:
    service = open_service(logs, [bundle])
    batch = next(batches_of(make_logs_with_context(users=1, requests=2)))
    with LogWriter(tmp_path / "out", [each.spec for each in service.versions], service.catalogue.items) as writer:
        app = create_app(service, writer, front=Front(metrics=True))
        for _ in range(3):
            assert ask(app, "POST", "/v1/page", {**PAGE, "version_id": "v1"}).status == 200
        assert ask(app, "POST", "/v1/page", {**PAGE, "version_id": "v9"}).status == 404
        assert ask(app, "POST", "/v1/items", {"item_ids": [100]}).status == 200
        assert ask(app, "GET", "/v1/page").status == 405
        assert ask(app, "GET", "/secret/path/7").status == 404
        assert ask(app, "XYZZY", "/secret/path/7").status == 404
        for _ in range(2):
            assert ask(app, "POST", "/v1/logs", encode_batch(batch)).status == 200
        answer = ask(app, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    count = "edgerec_requests_total"
    assert sample(text, count, route="/v1/page", method="POST", status="200") == 3
    assert sample(text, count, route="/v1/page", method="POST", status="404") == 1
    assert sample(text, count, route="/v1/page", method="GET", status="405") == 1
    assert sample(text, count, route="other", method="other", status="404") == 1
    assert sample(text, "edgerec_request_seconds_count", route="/v1/page") == 5
    assert sample(text, "edgerec_request_seconds_bucket", route="/v1/page", le="+Inf") == 5
    assert sample(text, "edgerec_version_requests_total", route="/v1/page", version="v1") == 3
    assert sample(text, "edgerec_version_served", version="v1") == 1
    assert 1 <= sample(text, "edgerec_embedding_keys_total", version="v1") <= 9
    assert sample(text, "edgerec_log_rows_total", table="events") == len(batch.events)
    assert sample(text, "edgerec_log_batches_total") == sample(text, "edgerec_log_repeated_total") == 1
    assert sample(text, "edgerec_catalogue_items") == 40
    assert sample(text, "edgerec_open_requests") == 1
    assert "v9" not in text
    assert "secret" not in text


def test_two_servers_in_one_process_count_for_themselves(logs: Path) -> None:
    service = open_service(logs)
    first, second = (create_app(service, front=Front(metrics=True)) for _ in range(2))
    ask(first, "GET", "/v1/health")
    labels = {"route": "/v1/health", "method": "GET", "status": "200"}
    assert sample(ask(first, "GET", "/metrics").body.decode(), "edgerec_requests_total", **labels) == 1
    assert b"/v1/health" not in ask(second, "GET", "/metrics").body


def test_each_request_has_one_line_without_user_and_token(logs: Path, bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"app {OLD}\n")
    log = AccessLog(tmp_path / "access.jsonl")
    app = create_app(open_service(logs, [bundle]), front=Front(Tokens(file), access_log=log))
    mine = {"authorization": f"Bearer {OLD}"}
    body = {**PAGE, "user_id": 777_888_999, "version_id": "v1"}
    page = ask(app, "POST", "/v1/page", body, x_request_id="abc-1", **mine)
    made = ask(app, "POST", "/v1/items", {"item_ids": [5]}, x_request_id="two words", **mine)
    refused = ask(app, "POST", "/v1/page", body, authorization="Bearer 777888999")
    odd = ask(app, "GET", "/user/777888999", **mine)
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert abs(lines[0].pop("time") - time.time() * 1000) < 60_000
    assert 0 < lines[0].pop("ms") < 60_000
    assert lines[0] == {
        "request_id": "abc-1", "caller": "app", "method": "POST", "route": "/v1/page", "status": 200, "version": "v1",
        "bytes": len(page.body),
    }  # fmt: skip
    assert [line["request_id"] for line in lines] == [
        answer.headers["x-request-id"] for answer in (page, made, refused, odd)
    ]
    assert "two words" not in made.headers["x-request-id"]
    assert [(line["route"], line["status"], line["caller"]) for line in lines[1:]] == [
        ("/v1/items", 422, "app"), ("/v1/page", 401, None), ("other", 404, "app"),
    ]  # fmt: skip
    text = (tmp_path / "access.jsonl").read_text()
    assert "777888999" not in text
    assert OLD not in text


def test_a_fault_of_the_server_has_a_request_id_and_a_line(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = open_service(logs)
    monkeypatch.setattr(service, "items", lambda *_: 1 / 0)
    app = create_app(service, front=Front(access_log=AccessLog(tmp_path / "log")))
    answer = ask(app, "POST", "/v1/items", {"item_ids": []})
    assert (answer.status, answer.json) == (500, {"error": "this is a fault of the server (ZeroDivisionError)"})
    line = json.loads((tmp_path / "log").read_text())
    assert (line["status"], line["request_id"]) == (500, answer.headers["x-request-id"])


def test_the_access_log_follows_a_rotation_and_survives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    log = AccessLog(path)
    log.write(number=1)
    path.rename(tmp_path / "old")
    log.write(number=2)  # the name is looked at once a second
    monkeypatch.setattr(log, "_look_at", 0.0)
    log.write(number=3)
    assert [numbers(tmp_path / "old"), numbers(path)] == [[1, 2], [3]]
    with files_up_to(os.path.getsize(path)):
        log.write(number=4)
    log.write(number=5)
    assert (log.lost, numbers(path)) == (1, [3, 5])
    log.close()
    with pytest.raises(OutputError, match=r"access log: .* cannot be written .No such file or directory.: choose"):
        AccessLog(tmp_path / "no" / "log")


def numbers(path: Path) -> list[Any]:
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


def test_a_file_of_something_else_gets_no_lines(tmp_path: Path) -> None:
    for content in (b"PAR1", b"app token\n", b'{"format": 1}'):
        path = tmp_path / "other"
        path.write_bytes(content)
        with pytest.raises(OutputError, match="something else"):
            AccessLog(path)
        assert path.read_bytes() == content
    log = AccessLog(tmp_path / "access.jsonl")
    log.write(status=200)
    log.close()
    AccessLog(tmp_path / "access.jsonl").close()
