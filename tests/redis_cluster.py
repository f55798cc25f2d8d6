"""Start a Redis Cluster of three masters for the tests on free local ports."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.redis_server import Server, free_port, redis_server

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
    """Run a cluster of three masters until the block ends. It stores no rows on disk."""
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
        end = time.monotonic() + 20
        while not all(_is_joined(client) for client in clients):
            if time.monotonic() > end:
                raise RuntimeError("the Redis Cluster did not start")
            time.sleep(0.02)


def _is_joined(client: object) -> bool:
    info = client.execute_command("CLUSTER", "INFO")  # type: ignore[attr-defined]
    text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return (text["cluster_state"], text["cluster_known_nodes"]) == ("ok", str(MASTERS))
