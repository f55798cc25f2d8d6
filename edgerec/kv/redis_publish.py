"""Publish a version in a Redis server: write its rows first, then add the version in one transaction.

Rows have an expiry time until the version is committed. Each write sets the expiry time in the same transaction, so
the rows are removed even if the publisher or the server is killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from edgerec.core.errors import FormatError, OutputError, StoreError
from edgerec.kv.npz import NpzTables
from edgerec.kv.redis_client import answers, request
from edgerec.kv.redis_version import UNKNOWN, Description, StoredTable, describe_damage, parse_description, row_fields
from edgerec.kv.store import check_numbers

STAGING_SECONDS = 3600
"""Rows of an interrupted publication expire this many seconds after the last write."""
PUBLISH_ROWS = 1000


def stage(client: Any, tables: NpzTables, description: Description, *, address: str) -> None:
    """Write all rows of `tables` to the hashes of `description`, with an expiry time.

    Raises:
        FormatError: a row contains NaN or an infinite number.
        StoreError: the server does not answer or is full.
    """
    staged: list[str] = []
    for name, stored in description.tables.items():
        table, what = tables.tables[name], f"table {name} of version {tables.version_id}"
        staged.append(stored.place)
        _write(client, staged, [UNKNOWN], _row_bytes(table.unknown[None, :], stored, what), address=address)
        for keys, values in table.blocks(PUBLISH_ROWS):
            _write(client, staged, row_fields(keys), _row_bytes(values, stored, what), address=address)


def _row_bytes(values: NDArray[Any], stored: StoredTable, what: str) -> list[bytes]:
    """Return the stored bytes of each row of `values` (b, dimension)."""
    check_numbers(values, what, advice="export the bundle again")
    content, width = values.astype(stored.dtype, copy=False).tobytes(), stored.row_bytes
    return [content[start : start + width] for start in range(0, len(content), width)]


def _write(client: Any, staged: list[str], fields: list[bytes], rows: list[bytes], *, address: str) -> None:
    """Write `rows` to the last hash of `staged`, and renew the expiry time of all hashes in `staged`."""
    with request(address):
        pipeline = client.pipeline(transaction=True)
        pipeline.hset(staged[-1], mapping=dict(zip(fields, rows, strict=True)))
        for redis_key in staged:
            pipeline.expire(redis_key, STAGING_SECONDS)
        answers(pipeline)


def commit(client: Any, versions: str, description: Description, *, replace: bool, address: str) -> None:
    """Add a version in one transaction: check its rows, remove their expiry time, store the description.

    A damaged version with the same id is replaced.

    Args:
        client: the Redis client.
        versions: the Redis key of the hash of descriptions.
        description: description of the version.
        replace: whether an intact version with the same id is replaced as well.
        address: address of the server for error texts.

    Raises:
        OutputError: the store has an intact version with this id, and `replace` is false.
        StoreError: rows are missing, or the server does not answer.
    """
    version_id, own_description = description.version_id, description.model_dump_json().encode()

    def change(pipeline: Any) -> None:
        found = pipeline.hget(versions, version_id)
        # The descriptions are equal if an earlier attempt was committed, but the connection was lost before the answer.
        if found != own_description:
            replaced = keys_to_replace(pipeline, found, version_id, replace=replace, address=address)
            raise_if_damaged(pipeline, description, address=address)
            pipeline.multi()
            for redis_key in description.redis_keys:
                pipeline.persist(redis_key)
            pipeline.hset(versions, version_id, own_description)
            if replaced:
                pipeline.unlink(*replaced)

    with request(address):
        # redis-py repeats the transaction if another version was committed in the meantime.
        client.transaction(change, versions, *description.redis_keys)


def keys_to_replace(client: Any, found: bytes | None, version_id: str, *, replace: bool, address: str) -> list[str]:
    """Return the Redis keys of the tables that may be replaced. `found` is the description of the existing version.

    Raises:
        OutputError: the existing version is intact, and `replace` is false.
    """
    if found is None:
        return []
    try:
        description = parse_description(found, version_id, address=address)
    except FormatError:
        return []
    if replace or any(find_damage(client, description)):
        return description.redis_keys
    raise OutputError(
        f"embedding store {address}: version {version_id} exists already: keep it, or publish with replace=True"
    )


def find_damage(client: Any, description: Description) -> Iterator[str]:
    """Yield an error text for each table that lacks rows."""
    for name, table in description.tables.items():
        fault = describe_damage(table, client.hlen(table.place), name=name, version_id=description.version_id)
        if fault is not None:
            yield fault


def raise_if_damaged(client: Any, description: Description, *, address: str) -> None:
    """Check that every table of the version has all its rows.

    Raises:
        StoreError: a table or a row is missing.
    """
    for fault in find_damage(client, description):
        raise StoreError(f"embedding store {address}: {fault}")
