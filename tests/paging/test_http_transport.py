from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edgerec.core.errors import (
    AnswerError,
    BusyError,
    InputError,
    RefusedError,
    TransportError,
    UnservedVersionError,
)
from edgerec.paging.codec import MEDIA_TYPE, encode_items, encode_page
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.log_body import decode_batch, inflate
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import PageRequest
from tests.paging.pages import assert_same_items, make_items, make_page

PAGE = encode_page(make_page())


class Handler(BaseHTTPRequestHandler):
    """A real HTTP server whose answers a test chooses."""

    protocol_version = "HTTP/1.1"
    server: Cloud

    def do_POST(self) -> None:
        cloud = self.server
        cloud.requests.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        cloud.ports.append(self.client_address[1])
        if cloud.raw is not None:
            self.wfile.write(cloud.raw)
            self.wfile.flush()
            time.sleep(cloud.pause)
            self.close_connection = True
            return
        self.send_response(cloud.status)
        self.send_header("Content-Type", cloud.kind)
        self.send_header("Content-Length", str(len(cloud.answer)))
        self.end_headers()
        self.wfile.write(cloud.answer)
        # The client does not know that the server closes the connection now.
        self.close_connection = cloud.closes

    def log_message(self, *_: Any) -> None:
        pass


class Cloud(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.ports: list[int] = []
        self.status, self.kind, self.answer, self.closes = 200, MEDIA_TYPE, PAGE, False
        self.raw: bytes | None = None
        self.pause = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


REQUEST = PageRequest(user_id=1, store_id=2, version_id="v", count=3, held=(4, 5), time=6)


def test_a_page_is_asked_for_over_one_kept_connection(cloud: Cloud) -> None:
    with HttpTransport(cloud.url + "/feed/", headers={"Authorization": "secret"}) as transport:
        for _ in range(3):
            assert_same_items(transport.page(REQUEST).items, make_items())
    path, headers, content = cloud.requests[0]
    assert path == "/feed/v1/page"
    assert json.loads(content) == {
        "user_id": 1, "store_id": 2, "version_id": "v", "count": 3, "held": [4, 5], "time": 6,
    }  # fmt: skip
    assert (headers["Authorization"], headers["Accept"]) == ("secret", MEDIA_TYPE)
    assert len(set(cloud.ports)) == 1


def test_items_are_asked_for_by_id(cloud: Cloud) -> None:
    cloud.answer = encode_items(make_items())
    with HttpTransport(cloud.url) as transport:
        assert_same_items(transport.items("v", make_items().item_id.tolist()), make_items())
        with pytest.raises(TransportError, match="should return the items that were asked for"):
            transport.items("v", [1])


def test_a_large_batch_is_compressed(cloud: Cloud) -> None:
    cloud.kind, cloud.answer = "application/json", b'{"stored": true}'
    batches = [LogBatch(1, 2, number, [{"time": 5}] * rows, []) for number, rows in enumerate((1, 1000))]
    with HttpTransport(cloud.url) as transport:
        for batch in batches:
            transport.send(batch)
    (_, plain, one), (_, packed, other) = cloud.requests
    assert "Content-Encoding" not in plain
    assert packed["Content-Encoding"] == "gzip"
    assert [decode_batch(one), decode_batch(inflate(other))] == batches
    assert len(other) < 1000


def test_a_connection_that_the_server_closed_is_opened_again_once(cloud: Cloud) -> None:
    cloud.closes = True
    with HttpTransport(cloud.url) as transport:
        for _ in range(3):
            transport.page(REQUEST)
            time.sleep(0.02)
        assert len(cloud.requests) == len(set(cloud.ports)) == 3
        cloud.raw = b""
        with pytest.raises(TransportError, match="does not answer"):
            transport.page(REQUEST)
        cloud.raw = None
        transport.page(REQUEST)


def test_a_server_that_does_not_exist_is_one_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with HttpTransport(url) as transport, pytest.raises(TransportError, match=r"does not answer \(.*refused"):
            transport.page(REQUEST)


RAW = {
    "took too long": b"",
    "does not answer": b"nonsense\r\n\r\n",
    "is incomplete": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    "should answer with application/vnd.edgerec": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "should have at most 67108864 bytes": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + bytes(2**26 + 1),
}


@pytest.mark.parametrize("text", RAW)
def test_a_faulty_answer_is_one_error(cloud: Cloud, text: str) -> None:
    cloud.raw = RAW[text]
    cloud.pause = 0.3 if text == "took too long" else 0
    with HttpTransport(cloud.url, timeout_s=0.1 if cloud.pause else 5) as transport:
        with pytest.raises(TransportError) as error:
            transport.page(REQUEST)
        assert text in str(error.value)
        assert len(str(error.value).splitlines()) == 1
        cloud.raw, cloud.pause = None, 0
        transport.page(REQUEST)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
def test_a_slow_answer_is_given_up(start: bytes) -> None:
    """The status, a header or the body comes byte by byte."""

    def drip() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ports.append(server.getsockname()[1])
            ready.set()
            connection, _ = server.accept()
            with connection:
                connection.sendall(start)
                while not given_up.wait(0.02):
                    with contextlib.suppress(OSError):
                        connection.sendall(b"x")

    ports: list[int] = []
    ready, given_up = threading.Event(), threading.Event()
    thread = threading.Thread(target=drip)
    thread.start()
    ready.wait()
    transport = HttpTransport(f"http://127.0.0.1:{ports[0]}", timeout_s=1, total_s=0.1)
    try:
        with transport, pytest.raises(TransportError, match="it took too long"):
            transport.page(REQUEST)
    finally:
        given_up.set()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'{"error": "version \'v\' is not served"}', "version 'v' is not served"),
        (b"<html>\n\x1b[31m", r"<html> \x1b[31m"),
        (b"", "no text"),
    ],
)
def test_the_error_of_the_server_is_passed_on(cloud: Cloud, answer: bytes, reason: str) -> None:
    cloud.status, cloud.answer = 404, answer
    with HttpTransport(cloud.url) as transport, pytest.raises(TransportError) as error:
        transport.page(REQUEST)
    assert str(error.value) == f"cloud: /v1/page answered with the status 404: {reason}"
    assert not isinstance(error.value, RefusedError)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_wrong_content_is_an_error_of_its_own(cloud: Cloud, status: int) -> None:
    cloud.status, cloud.kind, cloud.answer = status, "application/json", b'{"error": "a row is wrong"}'
    with HttpTransport(cloud.url) as transport, pytest.raises(RefusedError, match="a row is wrong"):
        transport.page(REQUEST)


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:80", "http://", "http://a:b@host", "http://host?x=1", "http://host:99999", "", 3]
)
def test_a_url_of_another_form_is_refused(url: Any) -> None:
    with pytest.raises(InputError, match=r"the URL should be http://host\[:port\]"):
        HttpTransport(url)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.edgerec\r\n"
WRONG = {
    "garbage": HEAD + b"Content-Length: 8\r\n\r\ngarbage!",
    "another version of the format": HEAD + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE[:4] + b"\xff" + PAGE[5:],
    "cut in the middle": HEAD + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE[: len(PAGE) // 2],
    "a wrong length": HEAD + b"Content-Length: %d\r\n\r\n" % (len(PAGE) - 5) + PAGE,
    "a length that is no number": HEAD + b"Content-Length: many\r\nConnection: close\r\n\r\nabc",
    "a chunk without its end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "gzip that nobody asked for": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(2**22)),
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 okay\r\n\r\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_an_error_and_the_next_call_works(cloud: Cloud, name: str) -> None:
    cloud.raw = WRONG[name]
    with HttpTransport(cloud.url, timeout_s=5, total_s=2) as transport:
        with pytest.raises(TransportError) as error:
            transport.page(REQUEST)
        assert not isinstance(error.value, RefusedError)
        assert len(str(error.value).splitlines()) == 1
        cloud.raw = None
        transport.page(REQUEST)


@pytest.mark.parametrize(
    ("status", "header", "wait"),
    [
        (429, "Retry-After: 7", 7.0),
        (503, "Retry-After: soon", None),
        (503, "X: y", None),
        (503, "Retry-After: Mon, 24 Nov 2025 16:00:00 GMT", 0.0),
    ],
)
def test_a_busy_server_says_how_long_to_wait(cloud: Cloud, status: int, header: str, wait: float | None) -> None:
    cloud.raw = f"HTTP/1.1 {status} Busy\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode()
    with HttpTransport(cloud.url) as transport, pytest.raises(BusyError) as error:
        transport.page(REQUEST)
    assert error.value.retry_after_s == wait


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "text/html"), (413, "text/html"), (401, "application/json"), (403, "text/html")]
)
def test_only_the_cloud_itself_refuses_rows(cloud: Cloud, status: int, kind: str) -> None:
    cloud.status, cloud.kind, cloud.answer = status, kind, b'{"error": "no"}'
    with HttpTransport(cloud.url) as transport, pytest.raises(AnswerError):
        transport.send(LogBatch(1, 2, 0, [{"time": 5}], []))


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"ok", b'{"stored": "yes"}'])
def test_rows_are_delivered_only_if_the_answer_says_so(cloud: Cloud, answer: bytes) -> None:
    cloud.kind, cloud.answer = "application/json", answer
    with HttpTransport(cloud.url) as transport, pytest.raises(AnswerError, match="the rows are kept"):
        transport.send(LogBatch(1, 2, 0, [{"time": 5}], []))


def test_answers_tell_the_time_of_the_cloud(cloud: Cloud) -> None:
    with HttpTransport(cloud.url) as transport:
        assert transport.cloud_time() is None
        transport.page(REQUEST)
        assert abs((transport.cloud_time() or 0) / 1000 - time.time()) < 5
        transport.ask_time()
    assert len(cloud.requests) == 1


def test_only_an_answer_that_names_the_served_versions_says_that_a_version_is_unserved(cloud: Cloud) -> None:
    cloud.status, cloud.kind = 404, "application/json"
    cloud.answer = b'{"error": "version \'v\' is not served", "versions": ["w"]}'
    with HttpTransport(cloud.url) as transport:
        with pytest.raises(UnservedVersionError, match="version 'v' is not served"):
            transport.page(REQUEST)
        for other in (b'{"error": "not found"}', b"<html>", b'{"versions": 3}', b"[]"):
            cloud.answer = other
            with pytest.raises(TransportError) as caught:
                transport.page(REQUEST)
            assert not isinstance(caught.value, UnservedVersionError)


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer secret\r\nX: y"}, {"A": "secret \u20ac"}, {"A": 5}, {"": "secret"}, {"A\n": "secret"}],
)
def test_headers_that_http_cannot_send_are_refused(headers: Any) -> None:
    with pytest.raises(InputError, match="Latin-1") as error:
        HttpTransport("http://127.0.0.1:1", headers=headers)
    assert "secret" not in str(error.value)
