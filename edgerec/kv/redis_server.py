"""One Redis server, as the place of embedding tables. `redis_cluster.py` has the same methods for a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edgerec.kv.redis_address import Address, wrong_address
from edgerec.kv.redis_client import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    BoundedConnection,
    BoundedSSLConnection,
    BoundedUnixConnection,
    NoBackoff,
    Retry,
    expect,
    raise_first,
    redis,
)

Command = tuple[Any, ...]
"""A Redis command: its name, one key, and its arguments."""


class Servers(Protocol):
    """Where the tables are: one Redis server or a cluster. Callers use it inside of `redis_client.request`."""

    address: str
    """The address for error texts."""

    @property
    def client(self) -> Any:
        """The client of redis-py, for commands on one key."""
        ...

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one round trip, not as a transaction. Return their answers, or raise the first error."""
        ...

    def transaction(self, change: Callable[[Any], None], *watched: str) -> None:
        """Call `change` with a pipeline, and again if another client changed a watched key. Their slot is the same."""
        ...

    def catalogue_key(self, prefix: str, name: str) -> str:
        """Return the Redis key of a small value that belongs to the whole store. All have the same slot."""
        ...

    def table_keys(self, stem: str, name: str, rows: int) -> list[str]:
        """Return the Redis keys of the hashes over which the rows of table `name` are spread. `stem` is unique."""
        ...

    def memory(self) -> int:
        """Return how many bytes of memory the servers use."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class SingleServer:
    """One Redis server. A table is one hash. Implements `Servers`.

    Raises:
        InputError: the address cannot be used.
    """

    def __init__(self, address: Address) -> None:
        try:
            self.client = redis.Redis.from_url(
                address.url,
                protocol=2,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                # Retry once, because the server may have closed a connection of the pool.
                retry=Retry(NoBackoff(), 1),
                connection_class=CONNECTIONS[address.scheme],
            )
            pool = self.client.connection_pool
            # redis-py checks the options only when it makes a connection object, so make one now.
            pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError, redis.RedisError):
            raise wrong_address() from None
        settings = pool.connection_kwargs
        self.address = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one round trip, not as a transaction. Return their answers, or raise the first error."""
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return raise_first(pipeline.execute(raise_on_error=False))

    def transaction(self, change: Callable[[Any], None], *watched: str) -> None:
        """Call `change` with a pipeline, and again if another client changed a watched key."""
        self.client.transaction(change, *watched)

    def catalogue_key(self, prefix: str, name: str) -> str:
        """Return the Redis key of a small value that belongs to the whole store."""
        return f"{prefix}:{name}"

    def table_keys(self, stem: str, name: str, rows: int) -> list[str]:
        """Return the Redis key of the only hash of table `name`."""
        return [f"{stem}:{name}"]

    def memory(self) -> int:
        """Return how many bytes of memory the server uses, including the data of other applications."""
        answer = expect(self.client.info("memory"), dict, address=self.address)
        return expect(answer.get("used_memory"), int, address=self.address)

    def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        self.client.close()


CONNECTIONS = {"redis": BoundedConnection, "rediss": BoundedSSLConnection, "unix": BoundedUnixConnection}
"""For each scheme of an address, how a connection is opened."""
