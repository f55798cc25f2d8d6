"""Faults of a device with a real store and a real transport. Counts are in `scripts/prove faults`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerec.core.errors import AnswerError, BusyError, InputError, StoreError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest
from tests.device_runtime.replayed import Clock
from tests.forked import run_script
from tests.full_disk import files_up_to


class DeadServer:
    """A port whose connections are closed at once."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if connection.recv(1) == b"x":
                    return
            self.connections += 1

    def stop(self) -> None:
        with socket.create_connection(self._socket.getsockname()) as connection:
            connection.sendall(b"x")
        self._thread.join()
        self._socket.close()


@pytest.fixture
def dead() -> Iterator[DeadServer]:
    server = DeadServer()
    yield server
    server.stop()


def test_a_dead_server_is_asked_seldom_and_nothing_is_lost(dead: DeadServer, tmp_path: Path) -> None:
    clock = Clock(1_700_000_000_000)
    with HttpTransport(dead.url) as transport, BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        client = Client(store, transport, None, config=ClientConfig(send_interval_ms=0), clock=clock)
        client.refresh()
        for _ in range(1000):  # a bit more than an hour
            clock.now += 4000
            client.exposed(5, {"duration_s": 1.0})
            client.run_pending()
        assert dead.connections <= 36
        client.close()
        assert store.next_ordinal(EXPOSURE) == 1000
        assert store.measure()["lost"] == 0


class Cloud:
    def __init__(self) -> None:
        self.rows: list[int] = []
        self.error: Exception | None = None

    def send(self, batch: LogBatch) -> None:
        if self.error is not None:
            raise self.error
        if any(row["item_id"] == 13 for row in batch.events):
            raise InputError("log batch: a row has a value that JSON does not have")
        self.rows += [row["ordinal"] for row in batch.events]


def test_a_missing_token_loses_no_rows_and_a_row_that_cannot_be_sent_is_alone(tmp_path: Path) -> None:
    cloud, clock = Cloud(), Clock(1_700_000_000_000)
    cloud.error = AnswerError("cloud: /v1/logs answered with the status 401: no token")
    with BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        client = Client(store, cloud, None, config=ClientConfig(send_interval_ms=0), clock=clock)  # type: ignore[arg-type]
        for item in (11, 12, 13, 14):
            client.exposed(item)
        assert "status 401" in client.run_pending().errors[0]
        cloud.error = None
        clock.now += 1000
        client.run_pending()
        client.close()
        assert cloud.rows == [0, 1, 3]
        assert store.measure()["lost"] == 1


def test_on_a_full_disk_the_feed_goes_on_and_later_behaviours_are_recorded(tmp_path: Path) -> None:
    cloud = Cloud()
    with BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        client = Client(store, cloud, None, config=ClientConfig(send_interval_ms=0))  # type: ignore[arg-type]

        def fill() -> None:
            while True:
                client.exposed(5)

        with files_up_to(60_000), pytest.raises(StoreError, match="free space on the disk"):
            fill()
        recorded = store.next_ordinal(EXPOSURE)
        assert client.order() == []
        assert client.run_pending().errors == ()
        client.exposed(5)
        client.close()
    assert cloud.rows == list(range(recorded + 1))


def test_a_forked_process_gets_errors_and_does_not_use_the_parents_connection(tmp_path: Path) -> None:
    script = """
    from edgerec.device_runtime.client import Client
    from edgerec.device_runtime.store.behaviour_store import BehaviourStore
    from edgerec.paging.http_transport import HttpTransport
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            ports.append(self.client_address[1])
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
        def log_message(self, *_):
            pass

    ports = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cloud = HttpTransport(f"http://127.0.0.1:{server.server_port}", timeout_s=2)
    get = lambda: cloud._call("GET", "/v1/health", None, "application/json")
    get()
    print(child(get), file=sys.stderr)
    get()
    print(ports[0] == ports[2] != ports[1], file=sys.stderr)
    with BehaviourStore(sys.argv[1], user_id=1) as store:
        client = Client(store, cloud, None)
        client.start()
        with client._lock:  # as a worker thread of the parent may hold it
            for call in (client.order, lambda: client.exposed(1), client.run_pending, client.close):
                print(child(call), file=sys.stderr)
        client.exposed(1)
        client.close(send=False)
    """
    done, separate, *lines = run_script(script, tmp_path / "user.db")
    assert (done, separate) == ("done", "True")
    refused = "SessionError: a client should be used by the process that made it"
    assert sum(line.startswith(refused) for line in lines) == 4, lines


class BusyPages(Cloud):
    """Pages get 503, logs are stored."""

    pages = 0

    def page(self, request: PageRequest) -> Page:
        self.pages += 1
        raise BusyError("cloud: /v1/page answered with the status 503: the embeddings cannot be read now", 1.0)


def test_logs_are_delivered_while_pages_get_503(tmp_path: Path) -> None:
    cloud, clock = BusyPages(), Clock(1_700_000_000_000)
    with BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        client = Client(store, cloud, None, config=ClientConfig(send_interval_ms=0), clock=clock)  # type: ignore[arg-type]
        client.refresh()
        for _ in range(900):
            clock.now += 4000
            client.exposed(5, {"duration_s": 1.0})
            client.run_pending()
        assert cloud.rows == list(range(900))
        assert cloud.pages <= 36
        client.close()


def test_what_is_dropped_is_counted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with BehaviourStore(tmp_path / "user.db", user_id=1) as store:
        client = Client(store, Cloud(), None, clock=Clock(1_700_000_000_000))  # type: ignore[arg-type]
        assert client.dropped == {"values of items": 0, "open pages": 0, "calls of request": 0}
        client.purchased(0)
        for item in range(1, 1001):
            client.purchased(0)  # it was used just now, so others are forgotten
            client.scrolled(item, 1.0, 1.0)
        for item in range(70):
            client.clicked(item)
        for _ in range(40):
            client.request("why not")
        assert client.dropped == {"values of items": 1, "open pages": 6, "calls of request": 8}
        for what in client.dropped:
            assert f"1 {what}" in caplog.text
        client.left_page(0)
        (_, view), *_ = store.latest(PAGE_VIEW, 1)
        assert view.action["buy"] == 1
        client.close(send=False)
