"""Tests of what `edgerec versions list --server` asks a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edgerec.cloud.served_state import served_state
from edgerec.core.errors import TransportError

TOKEN = "a-token-of-the-server-1"


class Elsewhere(BaseHTTPRequestHandler):
    """Answers `/there/v1/versions`; other paths lead to it."""

    received: list[str | None]

    def do_GET(self) -> None:
        self.received.append(self.path)
        here = self.path == "/there/v1/versions"
        self.send_response(200 if here else 302)
        if not here:
            self.send_header("Location", f"http://localhost:{self.server.server_port}/there/v1/versions")
        self.end_headers()
        self.wfile.write(b'{"versions": [{"version_id": "v1"}], "refused": []}' if here else b"")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    Elsewhere.received = []
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def test_a_redirect_does_not_carry_the_token_to_another_server(server: str) -> None:
    with pytest.raises(TransportError, match="answered with the status 302: check the address"):
        served_state(server, token=TOKEN)
    assert Elsewhere.received == ["/v1/versions"]
    assert served_state(f"{server}/there", token=TOKEN).served == ("v1",)
