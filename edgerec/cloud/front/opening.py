"""What the server answers while it opens its bundles and logs: it is alive, and it is not ready."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TEXT = "the server is being started: try again later"
_TIMEOUT_S = 5.0


class _Answers(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S
    protocol_version = "HTTP/1.0"  # each connection has one request

    def _answer(self) -> None:
        alive = self.command in ("GET", "HEAD") and self.path == "/v1/health"
        body = json.dumps({"status": "ok"} if alive else {"error": _TEXT}).encode()
        self.send_response(200 if alive else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if not alive:
            self.send_header("Retry-After", "5")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def version_string(self) -> str:
        return "edgerec"

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        super().__init__(listener.getsockname()[:2], _Answers, bind_and_activate=False)
        self.socket.close()
        self.socket, self._context = listener, context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer one connection, in a thread of its own."""
        request.settimeout(_TIMEOUT_S)
        if self._context is not None:
            request = self._context.wrap_socket(request, server_side=True)
        with contextlib.closing(request):
            super().finish_request(request, client_address)

    def handle_error(self, *_: Any) -> None:
        """Write nothing: a client that goes away is no fault."""


@contextlib.contextmanager
def opening_answers(listener: socket.socket, context: ssl.SSLContext | None) -> Iterator[None]:
    """Answer the connections of a socket that listens, until the block ends. Connections that wait then are kept.

    `/v1/health` says that the process works. All other requests get the status 503.
    """
    server = _Server(listener, context)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="edgerec-opening", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
