"""A Redis Cluster as the place of embedding tables. A table is spread over hashes on all masters.

redis-py knows which master has which slot, and follows slots that move. Its own pipeline takes about twice the time of
`send`, because it resolves each command by itself. It also repeats each failed command of a dead master alone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from binascii import crc_hqx
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edgerec.core.errors import InputError
from edgerec.kv.redis_address import Address, wrong_address
from edgerec.kv.redis_client import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    ClusterNode,
    NoBackoff,
    Retry,
    expect,
    raise_first,
    redis,
)
from edgerec.kv.redis_server import CONNECTIONS, Command, SingleServer

SLOTS = 16384
BUCKET_ROWS = 131_072
"""Aimed number of rows in a hash. With fewer rows, a page needs more commands. With more, a slot moves more slowly."""
MAX_BUCKETS = 1024
_PARTS = 64
"""The buckets of a table are spread evenly over this many parts of the slots."""


class ClusterServers:
    """The masters of a Redis Cluster. Implements `Servers`.

    Args:
        address: names one or more servers of the cluster. The others are found by asking.
        bucket_rows: about how many rows one hash has.

    Raises:
        InputError: the address cannot be used.
    """

    def __init__(self, address: Address, *, bucket_rows: int = BUCKET_ROWS) -> None:
        if bucket_rows < 1:
            raise InputError(f"embedding store: rows of a bucket should be at least 1; received {bucket_rows}")
        if address.scheme == "unix":
            raise wrong_address()
        # The single server checks the options, and opens no connection.
        first = SingleServer(address)
        settings = first.client.connection_pool.connection_kwargs
        if settings.get("db", 0):
            raise InputError("embedding store: a Redis Cluster has no databases: leave the database out of the address")
        self._address, self._bucket_rows = address, bucket_rows
        self.address = ",".join([first.address, *(f"{host}:{port}" for host, port in address.others)])
        self._clients: dict[int, Any] = {}

    @property
    def client(self) -> Any:
        """The client of redis-py. It is made when it is needed, because it asks for the masters at once.

        A forked process makes its own, because a lock of its parent's could be locked.

        Raises:
            redis.RedisError: no server of the address answers.
        """
        found = self._clients.get(os.getpid())
        if found is not None:
            return found
        with _reading_slots():
            made = redis.RedisCluster(
                # With rediss, redis-py would choose its own class of connections.
                url="redis" + self._address.url.removeprefix(self._address.scheme),
                startup_nodes=[ClusterNode(host, port) for host, port in self._address.others],
                connection_class=CONNECTIONS[self._address.scheme],
                protocol=2,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 1),
                # The other slots can be read while a master is down, if the servers allow it.
                require_full_coverage=False,
            )
        return self._clients.setdefault(os.getpid(), made)

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send each master its commands, then read all answers: one round trip. Raise the first error."""
        client = self.client
        try:
            received = _exchange(client, commands)
        except redis.ConnectionError:
            # The master may have failed: ask the others which of them has its slots now.
            with _reading_slots():
                client.nodes_manager.initialize()
            received = _exchange(client, commands)
        for number, answer in enumerate(received):
            if isinstance(answer, redis.exceptions.AskError):
                # The slot has moved or is moving. redis-py asks its new master, and remembers it.
                received[number] = client.execute_command(*commands[number])
        return raise_first(received)

    def transaction(self, change: Callable[[Any], None], *watched: str) -> None:
        """Call `change` with a pipeline, and again if another client changed a watched key. Their slot is the same."""
        self.client.transaction(change, *watched)

    def catalogue_key(self, prefix: str, name: str) -> str:
        """Return the Redis key of a small value that belongs to the whole store. All have the same slot.

        Raises:
            InputError: `prefix` has braces, which choose a slot.
        """
        if "{" in prefix or "}" in prefix:
            raise InputError(f"embedding store: the prefix of a cluster should have no braces; received {prefix!r:.80}")
        return f"{{{prefix}}}:{name}"

    def table_keys(self, stem: str, name: str, rows: int) -> list[str]:
        """Return the Redis keys of the hashes over which the rows of table `name` are spread. `stem` is unique.

        A key is ``PREFIX:rows:{TOKEN.BUCKET.SALT}:TABLE``. The salt puts the buckets evenly over the slots.
        """
        head, _, token = stem.rpartition(":")
        count = min(max(1, -(-rows // self._bucket_rows)), MAX_BUCKETS)
        parts = min(count, _PARTS)
        tags = (_tag_in(f"{token}.{name_number(name)}.{bucket}", bucket % parts, parts) for bucket in range(count))
        return [f"{head}:{{{tag}}}:{name}" for tag in tags]

    def memory(self) -> int:
        """Return how many bytes of memory all masters use, including the data of other applications."""
        answer = expect(self.client.info("memory", target_nodes="primaries"), dict, address=self.address)
        # With one master, redis-py returns its answer without its name.
        each = answer.values() if all(isinstance(one, dict) for one in answer.values()) else [answer]
        return sum(expect(one.get("used_memory"), int, address=self.address) for one in each)

    def close(self) -> None:
        """Close all connections of this process. A later call opens new ones."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()


def name_number(name: str) -> int:
    """Return a number that stands for a table's name in a hash tag, because a name may have braces."""
    return crc_hqx(name.encode(), 0)


def _tag_in(stem: str, part: int, parts: int) -> str:
    """Return a hash tag whose slot is in this part of the slots."""
    tags = (f"{stem}.{salt}" for salt in itertools.count())
    return next(tag for tag in tags if crc_hqx(tag.encode(), 0) % SLOTS * parts // SLOTS == part)


@contextlib.contextmanager
def _reading_slots() -> Iterator[None]:
    """Convert the exceptions that redis-py raises on an invalid list of slots."""
    try:
        yield
    except (LookupError, TypeError):
        raise redis.InvalidResponse("the list of slots is invalid") from None


def _exchange(client: Any, commands: Sequence[Command]) -> list[Any]:
    """Write to all masters, then read from each. Return the answers; an error that a master answered is one of them.

    Raises:
        redis.ConnectionError, redis.TimeoutError: a master does not answer.
    """
    numbers: dict[Any, list[int]] = {}
    for number, command in enumerate(commands):
        numbers.setdefault(client.get_node_from_key(command[1]), []).append(number)
    received: list[Any] = [None] * len(commands)
    opened: list[tuple[Any, Any, list[int]]] = []
    try:
        for node, mine in numbers.items():
            pool = client.get_redis_connection(node).connection_pool
            connection = pool.get_connection()
            opened.append((pool, connection, mine))
            connection.send_packed_command(connection.pack_commands([commands[number] for number in mine]))
        for _, connection, mine in opened:
            for number in mine:
                try:
                    received[number] = connection.read_response()
                except redis.ResponseError as error:
                    received[number] = error
    except BaseException:
        # Answers that nobody has read would be taken for answers to the next commands.
        for _, connection, _ in opened:
            connection.disconnect()
        raise
    finally:
        for pool, connection, _ in opened:
            pool.release(connection)
    return received
