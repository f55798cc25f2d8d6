"""A server of the cloud half in a process of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from edgerec.core.errors import ResourceError
from edgerec.core.paths import AnyPath, to_path

STOP_S = 60
"""How long the server may take to store its logs and to end."""
STOPPED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
"""Exit codes of a server that was stopped by SIGTERM. It is not 0 if the signal came before the server began."""


@contextlib.contextmanager
def server_process(bundle: AnyPath | None, *, catalogue: AnyPath, logs: AnyPath | None = None) -> Iterator[str]:
    """Run `edgerec serve` on a free port of this machine, and yield its URL. At the end, the server is stopped.

    Args:
        bundle: the bundle that it serves; None for a server without a model.
        catalogue: the logs whose items it serves.
        logs: the folder for the logs that devices send. None: they are not stored.

    Raises:
        ResourceError: the server does not start, or does not end as it should.
    """
    command = ["edgerec", "serve"]
    command += [] if bundle is None else [str(to_path(bundle, "server_process: `bundle`"))]
    command += ["--catalogue", str(to_path(catalogue, "server_process: `catalogue`")), "--port", "0", "--json"]
    command += [] if logs is None else ["--logs", str(to_path(logs, "server_process: `logs`"))]
    with running_server(command) as url:
        yield url


@dataclass(frozen=True)
class RunningServer:
    """A server that listens.

    Attributes:
        url: its URL.
        process_id: its process.
    """

    url: str
    process_id: int


@contextlib.contextmanager
def running_server(module: Sequence[str]) -> Iterator[str]:
    """As `started_server`, but yield the URL."""
    with started_server(module) as server:
        yield server.url


@contextlib.contextmanager
def started_server(module: Sequence[str]) -> Iterator[RunningServer]:
    """Run a module of Python that serves, and yield the server. At the end, it is stopped.

    Args:
        module: the name of the module and its arguments. The first line that it prints is JSON with the field `url`.

    Raises:
        ResourceError: the server does not start, or does not end as it should.
    """
    command = [sys.executable, "-m", *module]
    # The server writes its messages to a file. Nobody reads a pipe while the server runs, and a full pipe would block.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield RunningServer(_url(process, errors), process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise ResourceError(f"server: it did not stop within {STOP_S} s") from None
        if process.returncode not in STOPPED:
            raise ResourceError(f"server: it ended with exit code {process.returncode}: {_last_line(errors)}")


def _url(process: subprocess.Popen[str], errors: IO[str]) -> str:
    """Return the URL from the first line that the server prints."""
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        process.wait()
        raise ResourceError(f"server: it did not start: {_last_line(errors)}")
    url = json.loads(line)["url"]
    return str(url)


def _last_line(errors: IO[str]) -> str:
    errors.seek(0)
    lines = errors.read().strip().splitlines()
    return lines[-1] if lines else "it printed no error"
