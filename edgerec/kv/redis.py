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
from typing import Any

import numpy as np

from edgerec.core.errors import FormatError, InputError, StoreError
from edgerec.kv.npz import NpzTables
from edgerec.kv.redis_client import answers, connect, expect, request
from edgerec.kv.redis_publish import commit, refuse_damage, replaceable, stage
from edgerec.kv.redis_version import (
    REPLACE,
    UNKNOWN,
    Description,
    StoredTable,
    damage,
    name_bytes,
    name_text,
    parse_description,
    row_fields,
)
from edgerec.kv.store import Found, Keys, check_keys, check_numbers, no_table


class RedisTables:
    """The tables of one version in a Redis server (an `EmbeddingTables`).

    Threads may share it, and so may processes that are forked later.

    Attributes:
        version_id: of the model that they belong to.
    """

    def __init__(self, store: RedisStore, description: Description) -> None:
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
            # No transaction: published rows never change.
            pipeline = client.pipeline(transaction=False)
            for feature, keys in asked.items():
                place = self._tables[feature].place
                # How many rows the hash has tells a row that is gone from a key that was never there.
                pipeline.hlen(place)
                pipeline.hmget(place, [UNKNOWN, *row_fields(keys)])
            found = answers(pipeline)
        return {
            feature: self._found(feature, held, rows)
            for feature, held, rows in zip(asked, found[::2], found[1::2], strict=True)
        }

    def _found(self, feature: str, held: Any, answer: Any) -> Found:
        table, address = self._tables[feature], self._store.address
        what = f"{feature} of version {self.version_id}"
        fault = damage(table, expect(held, int, address=address), name=feature, version_id=self.version_id)
        if fault is not None:
            raise StoreError(f"embedding store {address}: {fault}")
        unknown, *rows = expect(answer, list, address=address)
        missing = rows.count(None)
        whole = [unknown if row is None else row for row in rows] if missing else rows
        width = table.row_bytes
        if unknown is None or any(len(row) != width for row in (unknown, *whole)):
            raise FormatError(f"embedding store {address}: rows of {what} should have {width} bytes: {REPLACE}")
        values = np.frombuffer(b"".join(whole), table.dtype).reshape(len(rows), table.entry.dimension)
        found = values.astype(np.float32)
        check_numbers(found, f"embedding store {address}: {what}", advice=REPLACE)
        return Found(found, missing)


class RedisStore:
    """The versions in a Redis server: publish, open, switch, remove.

    Args:
        url: ``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` (TLS) or ``unix://path``.
        prefix: of all its keys in the server.

    Raises:
        InputError: `url` is no such address, or has an option that changes what the client returns; `prefix` is no
            name. No connection is made yet.
    """

    def __init__(self, url: str, *, prefix: str = "edgerec") -> None:
        name_bytes(prefix, what="prefix")
        self._client, self.address = connect(url)
        self.prefix = prefix

    def publish(self, tables: NpzTables, *, current: bool = True, replace: bool = False) -> RedisTables:
        """Write all rows of `tables`, then make them known as their version, then make it current.

        Whoever opens a version finds all of it, whatever becomes of the publication. Rows of one that was broken off go
        after an hour. A version of the same name that has lost rows since is replaced.

        Args:
            tables: an opened version; its rows are read in a stream.
            current: let new pages have it.
            replace: a whole version of the same name, too.

        Raises:
            OutputError: the store has this version already, and `replace` is false.
            FormatError: a row with NaN or an infinite number.
            StoreError: the server does not answer, is full, or lost rows before all of them were written.
        """
        version_id = tables.version_id
        name_bytes(version_id, what="version")
        with self.connected() as client:
            found = client.hget(self._versions, version_id)
            replaceable(client, found, version_id, replace=replace, address=self.address)
        token = uuid.uuid4().hex
        description = Description(
            version_id=version_id,
            tables={
                name: StoredTable(place=f"{self.prefix}:rows:{token}:{name}", entry=table.entry)
                for name, table in tables.tables.items()
            },
        )
        try:
            stage(self._client, tables, description, address=self.address)
            commit(self._client, self._versions, description, replace=replace, address=self.address)
        except BaseException:
            self._forget(description)
            raise
        if current:
            self.switch(version_id)
        return RedisTables(self, description)

    def versions(self) -> list[str]:
        """Of the store, in order."""
        with self.connected() as client:
            found = expect(client.hkeys(self._versions), list, address=self.address)
        return sorted(name_text(name, address=self.address) for name in found)

    def current(self) -> str | None:
        """The version that new pages get, if there is one."""
        with self.connected() as client:
            found = client.get(self._current)
        return None if found is None else name_text(found, address=self.address)

    def switch(self, version_id: str) -> None:
        """Make a version current.

        Raises:
            InputError: the store does not have it.
            StoreError: rows of it are gone, or the server does not answer.
        """

        def change(pipeline: Any) -> None:
            refuse_damage(pipeline, self._description(pipeline, version_id), address=self.address)
            pipeline.multi()
            pipeline.set(self._current, version_id)

        with self.connected() as client:
            client.transaction(change, self._versions)

    def open(self, version_id: str | None = None) -> RedisTables:
        """The tables of a version; of the current one where none is named.

        Raises:
            InputError: the store does not have it.
            FormatError: it was published by another version of EdgeRec.
        """
        wanted = self.current() if version_id is None else version_id
        if wanted is None:
            raise InputError(f"embedding store {self.address}: no version was published as current yet: publish one")
        with self.connected() as client:
            return RedisTables(self, self._description(client, wanted))

    def remove(self, version_id: str) -> None:
        """Remove a version and its rows. Whoever still asks for it gets a `StoreError`, never half of it.

        Where its description cannot be read, nothing says which rows are its own: then these stay in the server.

        Raises:
            InputError: the store does not have it, or it is the current one.
        """

        def change(pipeline: Any) -> None:
            places = self._places(pipeline, version_id)
            if pipeline.get(self._current) == version_id.encode():
                others = pipeline.hlen(self._versions) > 1
                raise InputError(
                    f"embedding store {self.address}: version {version_id} is the current one"
                    + (": switch to another first" if others else ", and there is no other: publish another first")
                )
            pipeline.multi()
            pipeline.hdel(self._versions, version_id)
            if places:
                # The server frees them in a thread of its own.
                pipeline.unlink(*places)

        with self.connected() as client:
            client.transaction(change, self._versions, self._current)

    def server_memory(self) -> int:
        """Bytes that the server holds for data, of all that use it."""
        with self.connected() as client:
            found = expect(client.info("memory"), dict, address=self.address)
        return expect(found.get("used_memory"), int, address=self.address)

    def close(self) -> None:
        """Close its connections; those that a later call needs are opened again."""
        self._client.close()

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """Give the client for one request; what it raises becomes one clear error.

        Raises:
            StoreError: the server cannot be reached, refuses, or takes too long.
        """
        with request(self.address):
            yield self._client

    @property
    def _versions(self) -> str:
        """The Redis key of all descriptions."""
        return f"{self.prefix}:versions"

    @property
    def _current(self) -> str:
        """The Redis key of the current version's name."""
        return f"{self.prefix}:current"

    def _forget(self, description: Description) -> None:
        """Remove rows that belong to no version; what the server does not hear of now expires."""
        with contextlib.suppress(StoreError), self.connected() as client:
            ours = description.model_dump_json().encode()
            if description.tables and client.hget(self._versions, description.version_id) != ours:
                client.unlink(*description.places)

    def _description(self, client: Any, version_id: str) -> Description:
        found = client.hget(self._versions, name_bytes(version_id, what="version"))
        if found is None:
            raise self._unknown(version_id)
        return parse_description(expect(found, bytes, address=self.address), version_id, address=self.address)

    def _places(self, client: Any, version_id: str) -> list[str]:
        try:
            return self._description(client, version_id).places
        except FormatError:
            return []

    def _unknown(self, version_id: str) -> InputError:
        return InputError(
            f"embedding store {self.address}: there is no version {version_id}; there are "
            f"{', '.join(self.versions()) or 'none'}"
        )
