"""Publish a version in Redis: write its rows first, check them, then add the version in one transaction.

Rows have an expiry time until they are checked. Each write sets it in the same transaction, so that the rows are
removed even if the publisher or the server is killed. From the check to the commit, the list of leftovers names them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, OutputError, StoreError
from edgerec.kv.npz import NpzTable, NpzTables
from edgerec.kv.redis_client import raise_first, request
from edgerec.kv.redis_leftovers import delete, discard, leftover_now
from edgerec.kv.redis_server import Servers
from edgerec.kv.redis_version import (
    UNKNOWN,
    Bucket,
    Description,
    StoredTable,
    bucket_of,
    describe_damage,
    parse_description,
    row_fields,
)
from edgerec.kv.store import check_numbers

STAGING_SECONDS = 3600
"""Rows of an interrupted publication expire this many seconds after the last write."""
PUBLISH_ROWS = 1000
_MOST_ROWS = 65_536
"""Maximum number of rows that are read at once."""


def describe(servers: Servers, tables: NpzTables, stem: str) -> Description:
    """Return the description of a version before its rows are written. `stem` is the start of its Redis keys."""
    stored = {}
    for name, table in tables.tables.items():
        keys = servers.table_keys(stem, name, table.entry.keys)
        if len(keys) == 1:
            stored[name] = StoredTable(entry=table.entry, place=keys[0])
            continue
        counts = np.zeros(len(keys), np.int64)
        for some in table.shard_keys():
            counts += np.bincount(bucket_of(some, len(keys)), minlength=len(keys))
        buckets = tuple(Bucket(place=key, rows=rows) for key, rows in zip(keys, counts.tolist(), strict=True))
        stored[name] = StoredTable(entry=table.entry, buckets=buckets)
    return Description(version_id=tables.version_id, tables=stored)


def stage(servers: Servers, tables: NpzTables, description: Description) -> None:
    """Write all rows of `tables` to the hashes of `description`, with an expiry time.

    Raises:
        FormatError: a row contains NaN or an infinite number.
        StoreError: a server does not answer or is full.
    """
    staged: list[str] = []
    for name, stored in description.tables.items():
        table, what = tables.tables[name], f"table {name} of version {tables.version_id}"
        [unknown] = _row_bytes(table.unknown[None, :], stored, what)
        for bucket in stored.hashes:
            _write(servers, bucket.place, [UNKNOWN], [unknown])
        staged += [bucket.place for bucket in stored.hashes]
        for number, (place, fields, rows) in enumerate(_writes(table, stored, what)):
            _write(servers, place, fields, rows)
            # Once for all buckets is enough.
            if number % len(stored.hashes) == 0:
                with request(servers.address):
                    servers.send([("EXPIRE", key, STAGING_SECONDS) for key in staged])


def _writes(table: NpzTable, stored: StoredTable, what: str) -> Iterator[tuple[str, list[bytes], list[bytes]]]:
    """Yield the Redis key, the fields and the rows of each write: at most `PUBLISH_ROWS` rows of one bucket."""
    hashes = stored.hashes
    for keys, values in table.blocks(min(PUBLISH_ROWS * len(hashes), _MOST_ROWS)):
        fields, rows = row_fields(keys), _row_bytes(values, stored, what)
        numbers = bucket_of(keys, len(hashes))
        for number, bucket in enumerate(hashes):
            mine = np.flatnonzero(numbers == number).tolist()
            for start in range(0, len(mine), PUBLISH_ROWS):
                some = mine[start : start + PUBLISH_ROWS]
                yield bucket.place, [fields[index] for index in some], [rows[index] for index in some]


def _row_bytes(values: NDArray[Any], stored: StoredTable, what: str) -> list[bytes]:
    """Return the stored bytes of each row of `values` (b, dimension)."""
    check_numbers(values, what, advice="export the bundle again")
    content, width = values.astype(stored.dtype, copy=False).tobytes(), stored.row_bytes
    return [content[start : start + width] for start in range(0, len(content), width)]


def _write(servers: Servers, place: str, fields: list[bytes], rows: list[bytes]) -> None:
    """Write `rows` to a hash, and renew its expiry time, in one transaction."""
    with request(servers.address):
        pipeline = servers.client.pipeline(transaction=True)
        pipeline.hset(place, mapping=dict(zip(fields, rows, strict=True)))
        pipeline.expire(place, STAGING_SECONDS)
        raise_first(pipeline.execute(raise_on_error=False))


def commit(
    servers: Servers, description: Description, *, versions: str, leftovers: str, token: str, replace: bool
) -> None:
    """Let the rows live for ever, check that all are there, and add the version in one transaction.

    A damaged version with the same id is replaced.

    Args:
        servers: where the rows are.
        description: description of the version.
        versions: the Redis key of the hash of descriptions.
        leftovers: the Redis key of the list of leftovers.
        token: names this publication in the list of leftovers.
        replace: whether an intact version with the same id is replaced as well.

    Raises:
        OutputError: the store has an intact version with this id, and `replace` is false.
        StoreError: rows are missing, the publication took too long, or a server does not answer.
    """
    address, version_id, own = servers.address, description.version_id, description.model_dump_json().encode()
    listed = leftover_now(description.redis_keys).content()
    replaced: list[str] = []
    old_token = ""

    def change(pipeline: Any) -> None:
        nonlocal replaced, old_token
        found = pipeline.hget(versions, version_id)
        # The descriptions are equal if an earlier attempt was committed, but the connection was lost before the answer.
        if found == own:
            return
        if pipeline.hget(leftovers, token) != listed:
            raise StoreError(f"embedding store {address}: the publication took too long: publish again")
        replaced = keys_to_replace(servers, found, version_id, replace=replace)
        pipeline.multi()
        pipeline.hset(versions, version_id, own)
        pipeline.hdel(leftovers, token)
        old_token = discard(pipeline, leftovers, replaced)

    with request(address):
        servers.client.hset(leftovers, token, listed)
        servers.send([("PERSIST", key) for key in description.redis_keys])
        raise_if_damaged(servers, description)
        # redis-py repeats the transaction if another version was committed in the meantime.
        servers.transaction(change, versions, leftovers)
    # The version is complete. If its predecessor cannot be deleted now, it stays on the list of leftovers.
    with contextlib.suppress(StoreError), request(address):
        if replaced:
            delete(servers, leftovers, old_token, replaced)


def keys_to_replace(servers: Servers, found: bytes | None, version_id: str, *, replace: bool) -> list[str]:
    """Return the Redis keys of the tables that may be replaced. `found` is the description of the existing version.

    Raises:
        OutputError: the existing version is intact, and `replace` is false.
    """
    if found is None:
        return []
    try:
        description = parse_description(found, version_id, address=servers.address)
    except FormatError:
        return []
    if replace or find_damage(servers, description) is not None:
        return description.redis_keys
    raise OutputError(
        f"embedding store {servers.address}: version {version_id} exists already: keep it, or publish with replace=True"
    )


def find_damage(servers: Servers, description: Description) -> str | None:
    """Return an error text for the first hash that lacks rows; None if all rows are there."""
    hashes = [(name, bucket) for name, table in description.tables.items() for bucket in table.hashes]
    counts = servers.send([("HLEN", bucket.place) for _, bucket in hashes])
    faults = (
        describe_damage(bucket, count, name=name, version_id=description.version_id)
        for (name, bucket), count in zip(hashes, counts, strict=True)
    )
    return next((fault for fault in faults if fault is not None), None)


def raise_if_damaged(servers: Servers, description: Description) -> None:
    """Check that every table of the version has all its rows.

    Raises:
        StoreError: a table or a row is missing.
    """
    fault = find_damage(servers, description)
    if fault is not None:
        raise StoreError(f"embedding store {servers.address}: {fault}")
