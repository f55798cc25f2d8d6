"""Redis servers and clusters of this process on free ports of this machine, for measurements and tests."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgerec.core.errors import ResourceError

_START_S = 20


@dataclass(frozen=True)
class Server:
    """The address and the process of a running server."""

    url: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def redis_server(*options: str, port: int | None = None) -> Iterator[Server]:
    """Run a server until the block ends. Without `port`, it gets a free port. It stores nothing on disk.

    Raises:
        ResourceError: redis-server is not installed, or it does not start.
    """
    if shutil.which("redis-server") is None:
        raise ResourceError("redis-server is not installed: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port() if port is None else port
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--dir", folder, *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    raise ResourceError("redis-server did not start")


SLOTS = 16384
MASTERS = 3
NODE_TIMEOUT_MS = 500
"""After this time without an answer, the other masters say that a master has failed."""


@dataclass(frozen=True)
class Cluster:
    """The masters of a running cluster. Master i has the i-th third of the slots."""

    masters: tuple[Server, ...]

    @property
    def url(self) -> str:
        """The address of the cluster. It names all masters, so that a client can start while one of them is down."""
        return "redis+cluster://" + ",".join(master.url.removeprefix("redis://") for master in self.masters)


@contextlib.contextmanager
def redis_cluster() -> Iterator[Cluster]:
    """Run a cluster of three masters until the block ends. It stores no rows on disk.

    Raises:
        ResourceError: redis-server is not installed, or it does not start.
    """
    with contextlib.ExitStack() as stack:
        buses = [free_port() for _ in range(MASTERS)]
        masters = tuple(
            stack.enter_context(
                redis_server(
                    *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
                    *("--cluster-port", str(bus)),
                )
            )
            for bus in buses
        )
        _join(masters, buses)
        yield Cluster(masters)


def owned(number: int) -> range:
    """Return the slots of master `number`."""
    return range(number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS)


def _join(masters: tuple[Server, ...], buses: list[int]) -> None:
    """Let the servers be one cluster, with a third of the slots each, and wait until each of them says so."""
    import redis

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(redis.Redis.from_url(master.url)) for master in masters]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "ADDSLOTS", *owned(number))
        for master, bus in zip(masters[1:], buses[1:], strict=True):
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", master.url.rpartition(":")[2], bus)
        end = time.monotonic() + _START_S
        while not all(_is_joined(client) for client in clients):
            if time.monotonic() > end:
                raise ResourceError("the Redis Cluster did not start")
            time.sleep(0.02)


def _is_joined(client: Any) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return (text["cluster_state"], text["cluster_known_nodes"]) == ("ok", str(MASTERS))
