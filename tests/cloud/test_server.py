"""Tests of `edgerec serve` in a process of its own, over real HTTP."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from edgerec.cloud.serve import serve
from edgerec.cloud.settings import ServerSettings
from edgerec.core.errors import FormatError, OutputError, TransportError
from edgerec.data.logs import load_logs
from edgerec.paging.codec import MEDIA_TYPE
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.log_body import encode_batch
from edgerec.paging.page import PageRequest
from tests.cloud.batches import batches_of
from tests.cloud.bundles import table
from tests.kv.tables import expected
from tests.synthetic import make_logs_with_context

WITHOUT = """
import sys
for name in ("MNN", "tensorflow", "keras", "onnx", "onnxruntime", "cryptography"):
    sys.modules[name] = None
from edgerec.cli import main
main()
"""
"""Runs the command line in an environment that has only the packages of the extra `cloud`."""


@contextmanager
def served(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a server. Yield its process and the document that it prints."""
    command = [sys.executable, "-c", WITHOUT, "serve", *map(str, arguments), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def call(url: str, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, bytes]:
    """Make one request. Return status, media type and body."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        names = {"Content-Type": "application/json", **{k.replace("_", "-"): value for k, value in headers.items()}}
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(logs: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    out = tmp_path_factory.mktemp("served") / "out"
    with served(bundle, "--catalogue", logs, "--logs", out) as (_, state):
        assert (state["schema"], state["versions"]) == (1, ["v1"])
        yield state["url"], out


def test_a_page_comes_over_http(server: tuple[str, Path]) -> None:
    with HttpTransport(server[0]) as transport:
        page = transport.page(PageRequest(3, 1, "v1", 30, (100,), 5000))
        assert len(page.items) == 30
        assert (page.offered_at, page.served, page.items.version_id) == (5000, ("score",), "v1")
        ids = [int(item) for item in page.items.item_id[:7]]
        items = transport.items("v1", ids)
        column, shops = items.embeddings["shop"], items.columns["shop"]
        np.testing.assert_array_equal(column.rows[column.index], expected(table("v1"), list(shops)))
        without = transport.page(PageRequest(3, 1, None, 30))
        assert (without.items.version_id, without.items.embeddings) == (None, {})


def test_a_page_as_json_has_the_same_content(server: tuple[str, Path]) -> None:
    with HttpTransport(server[0]) as transport:
        ids = [100, 101]
        items = transport.items("v1", ids)
    body = json.dumps({"version_id": "v1", "item_ids": ids}).encode()
    status, kind, content = call(server[0], "POST", "/v1/items", body, Accept="application/json")
    assert (status, kind) == (200, "application/json")
    document = json.loads(content)
    for number, item in enumerate(document["items"]):
        column = items.embeddings["shop"]
        assert item["item_id"] == ids[number]
        assert item["values"] == {name: values[number] for name, values in items.columns.items()}
        assert item["embeddings"]["shop"]["key"] == column.keys[column.index[number]]
        np.testing.assert_array_equal(
            np.array(item["embeddings"]["shop"]["row"], np.float32), column.rows[column.index[number]]
        )
    page = json.dumps({"user_id": 1, "store_id": 1, "version_id": "v1", "count": 3, "time": 9}).encode()
    document = json.loads(call(server[0], "POST", "/v1/page", page, Accept="application/json")[2])
    assert (document["offered_at"], len(document["items"]), document["complete"]) == (9, 3, False)
    assert call(server[0], "POST", "/v1/page", page)[1] == MEDIA_TYPE


def test_logs_are_stored_once_and_written_when_the_server_is_stopped(logs: Path, bundle: Path, tmp_path: Path) -> None:
    made = make_logs_with_context(users=3, requests=4)
    batches = list(batches_of(made))
    out = tmp_path / "out"
    with served(bundle, "--catalogue", logs, "--logs", out) as (process, state), HttpTransport(state["url"]) as to:
        for batch in batches:
            to.send(batch)
            to.send(batch)
        health = json.loads(call(state["url"], "GET", "/v1/health")[2])["logs"]
        assert (health["batches"], health["repeated"]) == (len(batches), len(batches))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    written = load_logs(out)
    assert (len(written.events), len(written.requests)) == (len(made.events), len(made.requests))


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_when_the_server_stops_is_one_line(
    logs: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with served(bundle, "--catalogue", logs, "--logs", out) as (process, state):
        with HttpTransport(state["url"]) as to:
            to.send(BATCH)
        (out / "events").rename(tmp_path / "events")
        (out / "events").write_text("")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
        assert process.stderr is not None
        error = process.stderr.read()
    assert error.count("\n") == 1
    assert error.startswith("edgerec: logs: cannot write")
    (out / "events").unlink()
    (tmp_path / "events").rename(out / "events")
    with served(bundle, "--catalogue", logs, "--logs", out):
        pass
    assert len(load_logs(out).events) == len(BATCH.events)


def test_health_versions_and_openapi(server: tuple[str, Path]) -> None:
    health = json.loads(call(server[0], "GET", "/v1/health")[2])
    assert (health["status"], health["versions"], health["items"]) == ("ok", ["v1"], 40)
    versions = json.loads(call(server[0], "GET", "/v1/versions")[2])
    assert versions == {"versions": [{"version_id": "v1", "embeddings": {"shop": 4}, "share": None}], "refused": []}
    paths = json.loads(call(server[0], "GET", "/openapi.json")[2])["paths"]
    model = {"/v1/model", "/v1/model/{version_id}/{path}"}
    assert set(paths) == {"/v1/page", "/v1/items", "/v1/logs", "/v1/health", "/v1/ready", "/v1/versions"} | model
    assert call(server[0], "GET", "/docs")[0] == 200


PAGE = {"user_id": 1, "store_id": 1, "version_id": "v1", "count": 3, "time": 9}
BATCH = next(batches_of(make_logs_with_context(users=1, requests=2)))
FAULTS: dict[str, tuple[str, Any, dict[str, str], int]] = {
    "the body is not valid JSON": ("/v1/page", b"{", {}, 422),
    "the body is not valid": ("/v1/page", b'"\xff"', {}, 422),
    "the body should be JSON with the header 'Content-Type: application/json'": (
        "/v1/page", PAGE, {"Content_Type": "text/plain"}, 422,
    ),
    "the header 'Content-Type: application/json'; received ''": ("/v1/page", PAGE, {"Content_Type": ""}, 422),
    "colour is not a known key": ("/v1/page", {**PAGE, "colour": 1}, {}, 422),
    "store_id should be at least 0; received -1": ("/v1/page", {**PAGE, "store_id": -1}, {}, 422),
    "time should be at most 4102444800000": ("/v1/page", {**PAGE, "time": 10**15}, {}, 422),
    "count should be at most 1000; received 5000": ("/v1/page", {**PAGE, "count": 5000}, {}, 422),
    "user_id should be a whole number; received '1'": ("/v1/page", {**PAGE, "user_id": "1"}, {}, 422),
    "time is missing: add it": ("/v1/page", {name: PAGE[name] for name in PAGE if name != "time"}, {}, 422),
    "version 'v9' is not served; the served versions are: v1": ("/v1/page", {**PAGE, "version_id": "v9"}, {}, 404),
    "the catalogue does not have 1 of the items, such as 5": ("/v1/items", {"item_ids": [100, 5]}, {}, 422),
    "the body should have at most 8388608 bytes; it has more": ("/v1/page", b" " * (2**23 + 1), {}, 413),
    "wrong body: it should have at most 8388608 bytes after inflation": (
        "/v1/logs", gzip.compress(b" " * (2**23 + 1)), {"Content_Encoding": "gzip"}, 413,
    ),
    "wrong body: it is not gzip": ("/v1/logs", b"{}", {"Content_Encoding": "gzip"}, 400),
    "the encoding should be gzip or none; received 'br'": ("/v1/logs", b"{}", {"Content_Encoding": "br"}, 415),
    "wrong body: `user_id` should be an integer": ("/v1/logs", {}, {}, 400),
    "events.kind should be 'exposure' or 'page_view'": (
        "/v1/logs", encode_batch(replace(BATCH, events=[{**BATCH.events[0], "kind": "x"}])), {}, 422,
    ),
    "Not Found": ("/v1/nothing", b"", {}, 404),
    "Method Not Allowed": ("/v1/health", b"", {}, 405),
}  # fmt: skip


@pytest.mark.parametrize("text", FAULTS)
def test_a_wrong_request_gets_one_json_error(server: tuple[str, Path], text: str) -> None:
    path, body, headers, expected_status = FAULTS[text]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, kind, answer = call(server[0], "POST", path, content, **headers)
    assert (status, kind) == (expected_status, "application/json")
    document = json.loads(answer)
    assert text in document["error"]
    assert "\n" not in document["error"]
    if "v9" in text:
        assert document["versions"] == ["v1"]


def test_a_server_without_logs_and_bundles_serves_pages(logs: Path) -> None:
    with served("--catalogue", logs) as (process, state), HttpTransport(state["url"]) as transport:
        assert state["versions"] == []
        assert len(transport.page(PageRequest(1, 1, None, 5)).items) == 5
        with pytest.raises(TransportError, match="404: this server does not store logs: start it with --logs"):
            transport.send(BATCH)
        port = urlsplit(state["url"]).port
        assert port is not None
        with pytest.raises(OutputError, match=rf"at 127.0.0.1:{port} .Address already in use.: choose .* --port 0 "):
            serve([], logs, ServerSettings(port=port))
        # Wrong folders are named before the port.
        for bundles, catalogue, versions, said in (
            ([Path("none")], logs, None, "^bundle: none is not a folder"),
            ([logs], logs, None, f"^bundle: {logs} has no manifest.json; it is a folder of the kind 'logs'"),
            ([], Path("none"), None, "^logs: none is not a folder"),
            ([], logs, Path("none"), "^versions: none cannot be read"),
        ):
            with pytest.raises(FormatError, match=said):
                serve(bundles, catalogue, ServerSettings(port=port, versions=versions))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "edgerec: stopped\n"
