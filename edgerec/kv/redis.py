"""Embedding tables in Redis that many machines share (docs/embeddings.md): in one server, or in a Redis Cluster.

Each table of a version is one Redis hash, or in a cluster some hashes ("buckets") on all masters. A hash maps the
eight bytes of a key to the raw bytes of the row. The field `unknown` contains the row for unknown keys.
``PREFIX:versions`` maps each version to its description, which lists its hashes. ``PREFIX:current`` names the version
for new pages. A publication first writes all rows to new hashes, checks them, then adds the version in one transaction,
and then makes it current. A page takes one round trip; in a cluster, one to each master at the same time.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.arguments import check_mapping
from edgerec.core.errors import FormatError, InputError, StoreError
from edgerec.kv.npz import NpzTables
from edgerec.kv.redis_address import parse_address
from edgerec.kv.redis_client import expect, request
from edgerec.kv.redis_cluster import BUCKET_ROWS, ClusterServers
from edgerec.kv.redis_leftovers import delete, discard, sweep
from edgerec.kv.redis_pause import Pause
from edgerec.kv.redis_publish import commit, describe, find_damage, keys_to_replace, raise_if_damaged, stage
from edgerec.kv.redis_server import Command, Servers, SingleServer
from edgerec.kv.redis_version import (
    REPLACE,
    UNKNOWN,
    Bucket,
    Description,
    StoredTable,
    bucket_of,
    describe_damage,
    name_bytes,
    name_text,
    parse_description,
    row_fields,
)
from edgerec.kv.store import Keys, Lookup, check_keys, check_numbers, no_table
from edgerec.kv.table_entry import TableEntry


class LostRowsError(StoreError):
    """Rows that were published do not exist any more. The version may have been published again, in other hashes."""


Part = tuple[str, Bucket, NDArray[np.intp]]
"""A table's name, one of its hashes, and which of the asked keys it has."""


class RedisTables:
    """The tables of one version in Redis. Implements `EmbeddingTables`.

    Threads may share an instance. So may processes that are forked after it was made.

    Attributes:
        version_id: id of the model version that the tables belong to.
    """

    def __init__(self, store: RedisStore, description: Description) -> None:
        self.version_id = description.version_id
        self._store = store
        self._tables = description.tables

    @property
    def dimensions(self) -> dict[str, int]:
        """The dimension of the rows of each feature's table."""
        return {name: table.entry.dimension for name, table in self._tables.items()}

    @property
    def entries(self) -> dict[str, TableEntry]:
        """The size and data type of each feature's table."""
        return {name: table.entry for name, table in self._tables.items()}

    def newer(self) -> RedisTables | None:
        """Return the tables of the version if it was published again since these were opened, or None.

        Raises:
            StoreError: a server does not answer.
        """
        found = self._store.published(self.version_id)
        return None if found is None or found.tables == self._tables else RedisTables(self._store, found)

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        """Look up the rows of each feature's keys, int64 (m,). One round trip fetches the rows of all features.

        Raises:
            InputError: a feature has no table.
            ShapeError: the keys of a feature are not int64 (m,).
            StoreError: a server does not answer.
            LostRowsError: the version or some of its rows do not exist any more.
            FormatError: a stored row has a wrong length, or contains NaN or an infinite number.
        """
        check_mapping(keys_by_feature, "embedding tables: `keys_by_feature`")
        parts: list[Part] = []
        for feature, keys in keys_by_feature.items():
            if feature not in self._tables:
                raise no_table(feature, self._tables)
            check_keys(keys, feature=feature)
            parts += [(feature, *part) for part in _divide(self._tables[feature], keys)]
        commands: list[Command] = []
        for feature, bucket, places in parts:
            # The length of the hash shows whether a missing row was lost or never existed.
            commands.append(("HLEN", bucket.place))
            commands.append(("HMGET", bucket.place, UNKNOWN, *row_fields(keys_by_feature[feature][places])))
        # No transaction is needed, because published rows never change.
        answer = self._store.look_up(commands) if commands else []
        found = {
            name: Lookup(
                np.empty((len(keys), self._tables[name].entry.dimension), np.float32), np.ones(len(keys), bool)
            )
            for name, keys in keys_by_feature.items()
        }
        for (feature, bucket, places), field_count, rows in zip(parts, answer[::2], answer[1::2], strict=True):
            numbers, known = self._parse_rows(feature, bucket, field_count, rows)
            found[feature].rows[places] = numbers
            found[feature].known[places] = known
        return found

    def _parse_rows(self, feature: str, bucket: Bucket, field_count: Any, answer: Any) -> Lookup:
        table, address = self._tables[feature], self._store.address
        what = f"{feature} of version {self.version_id}"
        fault = describe_damage(
            bucket, expect(field_count, int, address=address), name=feature, version_id=self.version_id
        )
        if fault is not None:
            raise LostRowsError(f"embedding store {address}: {fault}")
        unknown, *rows = expect(answer, list, address=address)
        known = np.ones(len(rows), np.bool_)
        filled = rows
        if None in rows:
            known[:] = [row is not None for row in rows]
            filled = [unknown if row is None else row for row in rows]
        width = table.row_bytes
        if unknown is None or any(len(row) != width for row in (unknown, *filled)):
            raise FormatError(
                f"embedding store {address}: rows of {what} should have {width} bytes, "
                f"but one has another length: {REPLACE}"
            )
        values = np.frombuffer(b"".join(filled), table.dtype).reshape(len(rows), table.entry.dimension)
        numbers = values.astype(np.float32)
        check_numbers(numbers, f"embedding store {address}: {what}", advice=REPLACE)
        return Lookup(numbers, known)


class RedisStore:
    """The versions in a Redis server or in a Redis Cluster. It can publish, open, switch and remove versions.

    Args:
        url: ``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` (TLS) or ``unix://path`` for one
            server; ``redis+cluster://[[user]:password@]host[:port][,host[:port]...]`` or ``rediss+cluster://`` for a
            cluster.
        prefix: prefix of all keys that this store uses in the servers.
        bucket_rows: in a cluster, about how many rows of a table one hash has.
        look_up_seconds: how long a look-up may take; default: 10 seconds.
        pause_seconds: after a look-up without an answer, others fail at once for this time, so that few callers wait
            for a server that is down. 0: each look-up tries.

    Raises:
        InputError: `url` has another form or an unsupported option, or `prefix` is not UTF-8 text.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "edgerec",
        bucket_rows: int = BUCKET_ROWS,
        look_up_seconds: float | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        name_bytes(prefix, what="prefix")
        address = parse_address(url)
        self._servers: Servers = (
            ClusterServers(address, bucket_rows=bucket_rows) if address.cluster else SingleServer(address)
        )
        self.address, self.prefix = self._servers.address, prefix
        self._versions, self._current, self._leftovers = (
            self._servers.catalogue_key(prefix, name) for name in ("versions", "current", "leftovers")
        )
        self._look_up_seconds = look_up_seconds
        self._pause = Pause(pause_seconds)

    def publish(self, tables: NpzTables, *, current: bool = True, replace: bool = False) -> RedisTables:
        """Write all rows of `tables`, then add them as one version, then make this version current.

        Readers see either the complete version or no version. If a publication is interrupted, its rows expire after an
        hour. A damaged version with the same id is replaced.

        Args:
            tables: an opened version. Its rows are read as a stream.
            current: whether the version becomes the current one.
            replace: whether an intact version with the same id is replaced as well.

        Raises:
            OutputError: the store has this version already, it is intact, and `replace` is false.
            FormatError: a row contains NaN or an infinite number.
            StoreError: a server does not answer, is full, or lost rows during the publication.
        """
        version_id = tables.version_id
        name_bytes(version_id, what="version")
        with self.connected() as client:
            answer = client.hget(self._versions, version_id)
            keys_to_replace(self._servers, answer, version_id, replace=replace)
            sweep(self._servers, self._leftovers)
        token = uuid.uuid4().hex
        description = describe(self._servers, tables, f"{self.prefix}:rows:{token}")
        try:
            stage(self._servers, tables, description)
            commit(
                self._servers,
                description,
                versions=self._versions,
                leftovers=self._leftovers,
                token=token,
                replace=replace,
            )
        except BaseException:
            self._remove_staged_rows(description, token)
            raise
        if current:
            self.switch(version_id)
        return RedisTables(self, description)

    def versions(self) -> list[str]:
        """Return the ids of all versions, sorted."""
        with self.connected() as client:
            answer = expect(client.hkeys(self._versions), list, address=self.address)
        return sorted(name_text(name, address=self.address) for name in answer)

    def has(self, version_id: str) -> bool:
        """Return whether the store has a version, with all its rows.

        Raises:
            StoreError: a server does not answer.
        """
        with self.connected() as client:
            if client.hget(self._versions, name_bytes(version_id, what="version")) is None:
                return False
            try:
                return find_damage(self._servers, self._description(client, version_id)) is None
            except FormatError:
                return False

    def current(self) -> str | None:
        """Return the id of the current version, or None if there is none."""
        with self.connected() as client:
            answer = client.get(self._current)
        return None if answer is None else name_text(answer, address=self.address)

    def switch(self, version_id: str) -> None:
        """Make a version current.

        Raises:
            InputError: the store does not have this version.
            StoreError: rows of the version are missing, or the server does not answer.
        """

        def change(pipeline: Any) -> None:
            raise_if_damaged(self._servers, self._description(pipeline, version_id))
            pipeline.multi()
            pipeline.set(self._current, version_id)

        with self.connected():
            self._servers.transaction(change, self._versions)

    def open(self, version_id: str | None = None) -> RedisTables:
        """Open the tables of a version, or of the current version if `version_id` is None.

        Raises:
            InputError: the store does not have this version.
            FormatError: the version was published by an incompatible version of EdgeRec.
        """
        chosen = self.current() if version_id is None else version_id
        if chosen is None:
            raise InputError(f"embedding store {self.address}: there is no current version: publish one")
        with self.connected() as client:
            return RedisTables(self, self._description(client, chosen))

    def remove(self, version_id: str) -> None:
        """Remove a version and its rows. Later look-ups in it raise `StoreError`.

        If the description of the version cannot be read, its rows stay in the server, because their hashes are unknown.

        Raises:
            InputError: the store does not have this version, or it is the current one.
        """
        redis_keys: list[str] = []
        token = ""

        def change(pipeline: Any) -> None:
            nonlocal redis_keys, token
            redis_keys = self._redis_keys(pipeline, version_id)
            if pipeline.get(self._current) == version_id.encode():
                others = pipeline.hlen(self._versions) > 1
                raise InputError(
                    f"embedding store {self.address}: version {version_id} is the current version and cannot be removed"
                    + (": switch to another version first" if others else ": publish another version first")
                )
            pipeline.multi()
            pipeline.hdel(self._versions, version_id)
            token = discard(pipeline, self._leftovers, redis_keys)

        with self.connected():
            self._servers.transaction(change, self._versions, self._current)
            if redis_keys:
                delete(self._servers, self._leftovers, token, redis_keys)

    def look_up(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands of a look-up in one round trip, and return their answers.

        Raises:
            StoreError: a server cannot be reached, refuses a command, or takes too long.
        """
        with self._pause.unless_failed(), request(self.address, seconds=self._look_up_seconds):
            return self._servers.send(commands)

    def published(self, version_id: str) -> Description | None:
        """Return the description of a version; None if there is none that can be read. It takes as long as a look-up.

        Raises:
            StoreError: a server cannot be reached, refuses the request, or takes too long.
        """
        with self._pause.unless_failed(), request(self.address, seconds=self._look_up_seconds):
            answer = self._servers.client.hget(self._versions, version_id)
        try:
            return None if answer is None else parse_description(answer, version_id, address=self.address)
        except FormatError:
            return None

    def server_memory(self) -> int:
        """Return how many bytes of memory the servers use, including the data of other applications."""
        with self.connected():
            return self._servers.memory()

    def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        self._servers.close()

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """Yield the client for one request, and convert its exceptions to `StoreError`.

        Raises:
            StoreError: the server cannot be reached, refuses the request, or takes too long.
        """
        with request(self.address):
            yield self._servers.client

    def _remove_staged_rows(self, description: Description, token: str) -> None:
        """Remove the rows of a failed publication. If this fails too, the rows expire or stay listed as leftovers."""
        with contextlib.suppress(StoreError), self.connected() as client:
            own_description = description.model_dump_json().encode()
            if description.tables and client.hget(self._versions, description.version_id) != own_description:
                delete(self._servers, self._leftovers, token, description.redis_keys)

    def _description(self, client: Any, version_id: str) -> Description:
        answer = client.hget(self._versions, name_bytes(version_id, what="version"))
        if answer is None:
            raise self._unknown_version(version_id)
        return parse_description(expect(answer, bytes, address=self.address), version_id, address=self.address)

    def _redis_keys(self, client: Any, version_id: str) -> list[str]:
        try:
            return self._description(client, version_id).redis_keys
        except FormatError:
            return []

    def _unknown_version(self, version_id: str) -> InputError:
        return InputError(
            f"embedding store {self.address}: unknown version {version_id}; expected one of: "
            f"{', '.join(self.versions()) or 'none are published'}"
        )


def _divide(table: StoredTable, keys: Keys) -> Iterator[tuple[Bucket, NDArray[np.intp]]]:
    """Yield each hash that has some of the keys (m,), and the indices of these keys."""
    hashes = table.hashes
    if len(hashes) == 1:
        yield hashes[0], np.arange(len(keys))
        return
    numbers = bucket_of(keys, len(hashes))
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    for places in np.split(order, starts[1:]) if len(keys) else []:
        yield hashes[numbers[places[0]]], places
