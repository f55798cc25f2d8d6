"""A real HTTP server that offers a model version, as docs/formats.md describes it. A test can damage what it sends."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class ModelServer(ThreadingHTTPServer):
    """Offers the device half of one bundle.

    Attributes:
        offered: the version that is offered; None for none.
        files: the bytes of its files by path.
        damage: the path and the offset of a byte that is changed on its way; None for none.
        status: if it is not 200, all requests get it.
        paths: the requests.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.offered: str | None = None
        self.files: dict[str, bytes] = {}
        self.hidden: dict[str, Any] = {}
        self.damage: tuple[str, int] | None = None
        self.cut: int | None = None
        self.status = 200
        self.ranges = True
        self.paths: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    def handle_error(self, *_: Any) -> None:
        """Be silent about a device that was killed."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def offer(self, bundle: Path) -> None:
        folder = bundle / "device"
        self.files = {f"device/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
        self.offered = json.loads(self.files["device/manifest.json"])["version_id"]

    def document(self, device_has: str | None) -> dict[str, Any]:
        files = [
            {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in self.files.items()
        ]
        files = [] if device_has == self.offered else files
        size = sum(len(content) for content in self.files.values()) if files else 0
        return {"schema": 1, "version_id": self.offered, "files": files, "bytes": size, **self.hidden}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if self.path != "/v1/model":
            self._send(404, b'{"error": "no such route"}', "application/json")
            return
        self._send(200, json.dumps(self.server.document(body["version_id"])).encode(), "application/json")

    def do_GET(self) -> None:
        server = self.server
        server.paths.append(self.path)
        match = re.fullmatch(rf"/v1/model/{re.escape(str(server.offered))}/(.*)", self.path)
        if match is None or match[1] not in server.files:
            self._send(404, b'{"error": "no such file"}', "application/json")
            return
        content = server.files[match[1]]
        if server.damage is not None and server.damage[0] == match[1]:
            at = server.damage[1]
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None or not server.ranges:
            self._send(200, content, "application/octet-stream")
            return
        self._send(206, content[int(wanted[1]) : int(wanted[2]) + 1], "application/octet-stream")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        if self.server.status != 200:
            status, content, kind = self.server.status, b'{"error": "down"}', "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.cut is not None and status == 206:
            self.wfile.write(content[: self.server.cut])
            self.close_connection = True
            return
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
