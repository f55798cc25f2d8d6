"""Start a Redis server for the tests on a free local port."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Server:
    """The address and the process of a running server."""

    url: str
    process: subprocess.Popen[bytes]


def need_redis() -> None:
    """Skip the test if Redis is not installed. With EDGEREC_REQUIRE_REDIS=1, fail it instead."""
    missing = []
    if shutil.which("redis-server") is None:
        missing.append("apt-get install redis-server")
    if importlib.util.find_spec("redis") is None:
        missing.append("pip install '.[cloud]'")
    if missing:
        stop = pytest.fail if os.environ.get("EDGEREC_REQUIRE_REDIS") == "1" else pytest.skip
        stop(f"Redis is not installed: {' and '.join(missing)}")


@contextlib.contextmanager
def redis_server(*options: str, port: int | None = None) -> Iterator[Server]:
    """Run a server until the block ends. Without `port`, it gets a free port. The server stores nothing on disk."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port() if port is None else port
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, "--dir", folder, *options], **silent)
        try:
            _wait(port, process)
            yield Server(f"redis://127.0.0.1:{port}", process)
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """Return a free local port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise RuntimeError("redis-server did not start")
