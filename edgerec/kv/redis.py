"""Embedding tables in a Redis server, shared by many machines; a page is one round trip (docs/embeddings.md).

Each table of a version is one Redis hash: eight bytes of key -> the row's raw bytes, and the field `unknown` -> the
unknown row. Which hashes a version consists of stands in ``PREFIX:versions`` (version -> description), and the version
that new pages get in ``PREFIX:current``. Rows are written first, under names that nobody knows; then one command makes
the version known, whole, and one more makes it current.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from edgerec.core.documents import first_fault
from edgerec.core.errors import FormatError, InputError, MissingExtraError, OutputError, StoreError, first_line
from edgerec.core.manifest import TableEntry
from edgerec.kv.npz import NpzTables
from edgerec.kv.store import Found, Keys, check_keys, no_table

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:
    raise MissingExtraError("redis is not installed: pip install 'edgerec[cloud]'") from None

FORMAT = 1
UNKNOWN = b"unknown"
"""Seven bytes, so that it is nobody's key."""
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0
STAGING_SECONDS = 3600
"""After its last rows, what a broken publication left behind goes by itself."""
PUBLISH_ROWS = 1000


class _StoredTable(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    place: str
    """The Redis key of its hash."""
    entry: TableEntry


class _Description(BaseModel):
    """What `PREFIX:versions` says of a version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    version_id: str
    tables: dict[str, _StoredTable]


class RedisTables:
    """The tables of one version in a Redis server (an `EmbeddingTables`).

    Threads may share it, and so may processes that are forked later.

    Attributes:
        version_id: of the model that they belong to.
    """

    def __init__(self, store: RedisStore, description: _Description) -> None:
        self.version_id = description.version_id
        self._store = store
        self._tables = description.tables

    @property
    def dimensions(self) -> dict[str, int]:
        """Width of a row by feature."""
        return {name: table.entry.dimension for name, table in self._tables.items()}

    def get_many(self, asked: Mapping[str, Keys]) -> dict[str, Found]:
        """Rows of the keys (m,) int64 of each feature, in one round trip for all of them.

        Raises:
            InputError: a feature without a table.
            ShapeError: keys of another type or shape.
            StoreError: the server does not answer, or the version was removed.
        """
        for feature, keys in asked.items():
            if feature not in self._tables:
                raise no_table(feature, self._tables)
            check_keys(keys, feature=feature)
        with self._store.connected() as client:
            # No transaction: published rows never change, and a removed version shows itself.
            pipeline = client.pipeline(transaction=False)
            for feature, keys in asked.items():
                # The unknown row comes with every answer: it tells a hash that is gone from keys that are unknown.
                pipeline.hmget(self._tables[feature].place, [UNKNOWN, *_fields(keys)])
            answers = _answers(pipeline)
        return {feature: self._found(feature, answer) for feature, answer in zip(asked, answers, strict=True)}

    def _found(self, feature: str, answer: list[bytes | None]) -> Found:
        unknown, *rows = answer
        if unknown is None:
            raise StoreError(
                f"embedding store {self._store.address}: {feature} of version {self.version_id} is no longer there: "
                "it was removed or evicted; open another version, and let the server's maxmemory-policy be noeviction"
            )
        entry = self._tables[feature].entry
        missing = rows.count(None)
        whole = [unknown if row is None else row for row in rows] if missing else rows
        dtype = np.dtype(entry.dtype).newbyteorder("<")
        width = entry.dimension * dtype.itemsize
        if any(len(row) != width for row in (unknown, *whole)):
            raise FormatError(
                f"embedding store {self._store.address}: rows of {feature} of version {self.version_id} should have "
                f"{width} bytes: remove the version and publish it again"
            )
        values = np.frombuffer(b"".join(whole), dtype).reshape(len(rows), entry.dimension)  # type: ignore[arg-type]
        return Found(values.astype(np.float32), missing)


class RedisStore:
    """The versions in a Redis server: publish, open, switch, remove.

    Args:
        url: ``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` (TLS) or ``unix://path``.
        prefix: of all its keys in the server.

    Raises:
        InputError: `url` is no such address. No connection is made yet.
    """

    def __init__(self, url: str, *, prefix: str = "edgerec") -> None:
        try:
            # Once more, at once: a connection of the pool may have died with the server that it led to.
            self._client = redis.Redis.from_url(
                url,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )
        except (ValueError, TypeError):
            # The address itself may hold a password.
            raise InputError(
                "embedding store: the address should be redis://host:port/database, rediss://... or unix://path; "
                "received another form"
            ) from None
        self.prefix = prefix
        settings = self._client.connection_pool.connection_kwargs
        self.address = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"

    def publish(self, tables: NpzTables, *, current: bool = True) -> RedisTables:
        """Write all rows of `tables`, then make them known as their version, then make it current.

        Whoever opens a version finds all of it, whatever becomes of the publication. Rows of one that was broken off go
        after an hour.

        Args:
            tables: an opened version; its rows are read in a stream.
            current: let new pages have it.

        Raises:
            OutputError: the store has this version already.
            StoreError: the server does not answer or is full.
        """
        if tables.version_id in self.versions():
            raise self._known(tables.version_id)
        token = uuid.uuid4().hex
        description = _Description(
            version_id=tables.version_id,
            tables={
                name: _StoredTable(place=f"{self.prefix}:rows:{token}:{name}", entry=table.entry)
                for name, table in tables.tables.items()
            },
        )
        places = [table.place for table in description.tables.values()]
        try:
            with self.connected() as client:
                for name, stored in description.tables.items():
                    self._write(client, tables, name, stored)
                commit = client.pipeline(transaction=True)
                for place in places:
                    commit.persist(place)
                commit.hsetnx(f"{self.prefix}:versions", tables.version_id, description.model_dump_json())
                *_, first = commit.execute()
            if not first:
                raise self._known(tables.version_id)
        except BaseException:
            self._forget(places, unless=tables.version_id)
            raise
        if current:
            self.switch(tables.version_id)
        return RedisTables(self, description)

    def versions(self) -> list[str]:
        """Of the store, in order."""
        with self.connected() as client:
            return sorted(name.decode() for name in client.hkeys(f"{self.prefix}:versions"))

    def current(self) -> str | None:
        """The version that new pages get, if there is one."""
        with self.connected() as client:
            found = client.get(f"{self.prefix}:current")
        return None if found is None else found.decode()

    def switch(self, version_id: str) -> None:
        """Make a version current.

        Raises:
            InputError: the store does not have it.
        """
        with self._watching("versions") as pipeline:
            if not pipeline.hexists(f"{self.prefix}:versions", version_id):
                raise self._unknown(version_id)
            pipeline.multi()
            pipeline.set(f"{self.prefix}:current", version_id)
            pipeline.execute()

    def open(self, version_id: str | None = None) -> RedisTables:
        """The tables of a version; of the current one where none is named.

        Raises:
            InputError: the store does not have it.
            FormatError: it was published by another version of EdgeRec.
        """
        wanted = self.current() if version_id is None else version_id
        if wanted is None:
            raise InputError(f"embedding store {self.address}: no version was published as current yet: publish one")
        return RedisTables(self, self._description(wanted))

    def remove(self, version_id: str) -> None:
        """Remove a version and its rows. Whoever still asks for it gets a `StoreError`, never half of it.

        Raises:
            InputError: the store does not have it, or it is the current one.
        """
        description = self._description(version_id)
        with self._watching("versions", "current") as pipeline:
            if pipeline.get(f"{self.prefix}:current") == version_id.encode():
                raise InputError(
                    f"embedding store {self.address}: version {version_id} is the current one: switch to another first"
                )
            pipeline.multi()
            pipeline.hdel(f"{self.prefix}:versions", version_id)
            # The server frees them in a thread of its own.
            pipeline.unlink(*(table.place for table in description.tables.values()))
            pipeline.execute()

    def server_memory(self) -> int:
        """Bytes that the server holds for data, of all that use it."""
        with self.connected() as client:
            return int(client.info("memory")["used_memory"])

    def close(self) -> None:
        """Close its connections; those that a later call needs are opened again."""
        self._client.close()

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """The client; what it raises becomes one clear error.

        Raises:
            StoreError: the server cannot be reached, refuses, or was changed by another at the same time.
        """
        try:
            yield self._client
        except redis.WatchError:
            raise StoreError(
                f"embedding store {self.address}: its versions were changed by another at the same time: try again"
            ) from None
        except (redis.RedisError, OSError) as error:
            raise StoreError(
                f"embedding store {self.address}: {first_line(error)}: check that the Redis server runs, can be "
                "reached and has memory left"
            ) from None

    @contextlib.contextmanager
    def _watching(self, *names: str) -> Iterator[Any]:
        """A transaction that fails where one of the keys `names` is changed before it ends."""
        with self.connected() as client, client.pipeline() as pipeline:
            pipeline.watch(*(f"{self.prefix}:{name}" for name in names))
            yield pipeline

    def _write(self, client: Any, tables: NpzTables, name: str, stored: _StoredTable) -> None:
        table = tables.tables[name]
        dtype = np.dtype(stored.entry.dtype).newbyteorder("<")
        client.hset(stored.place, UNKNOWN, table.unknown.astype(dtype).tobytes())
        for keys, values in table.blocks(PUBLISH_ROWS):
            packed, width = values.astype(dtype, copy=False).tobytes(), values.shape[1] * dtype.itemsize
            rows = (packed[at : at + width] for at in range(0, len(packed), width))
            pipeline = client.pipeline(transaction=False)
            pipeline.hset(stored.place, mapping=dict(zip(_fields(keys), rows, strict=True)))
            pipeline.expire(stored.place, STAGING_SECONDS)
            _answers(pipeline)
        held = client.hlen(stored.place)
        if held != stored.entry.keys + 1:
            raise StoreError(
                f"embedding store {self.address}: it holds {held - 1} of the {stored.entry.keys} rows of {name} that "
                "were written: give the server memory, and let its maxmemory-policy be noeviction"
            )

    def _forget(self, places: list[str], *, unless: str) -> None:
        """Remove rows that belong to no version; what the server does not hear of now goes by itself."""
        with contextlib.suppress(StoreError, InputError, FormatError):
            try:
                taken = {table.place for table in self._description(unless).tables.values()}
            except InputError:
                taken = set()
            with self.connected() as client:
                if places and taken.isdisjoint(places):
                    client.unlink(*places)

    def _description(self, version_id: str) -> _Description:
        with self.connected() as client:
            found = client.hget(f"{self.prefix}:versions", version_id)
        if found is None:
            raise self._unknown(version_id)
        try:
            return _Description.model_validate_json(found)
        except ValidationError as error:
            raise FormatError(
                f"embedding store {self.address}: version {version_id}: {first_fault(error)}: publish it with this "
                "version of EdgeRec"
            ) from None

    def _unknown(self, version_id: str) -> InputError:
        return InputError(
            f"embedding store {self.address}: there is no version {version_id}; there are "
            f"{', '.join(self.versions()) or 'none'}"
        )

    def _known(self, version_id: str) -> OutputError:
        return OutputError(
            f"embedding store {self.address}: it has version {version_id} already: remove it first, or leave it"
        )


def _answers(pipeline: Any) -> list[Any]:
    """What the server answers to each command; the first error as the server says it.

    The client would put the command before it, with all the bytes of its rows.
    """
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _fields(keys: NDArray[np.int64]) -> list[bytes]:
    """Names (m) of the hash fields of `keys` (m,)."""
    packed = keys.astype("<i8", copy=False).tobytes()
    return [packed[at : at + 8] for at in range(0, len(packed), 8)]
