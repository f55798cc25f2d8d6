"""Publishing a version in a Redis server: its rows are staged first, then one transaction makes them a version.

Staged rows expire until they are committed. Each write of rows sets their expiry in the same transaction, so that a
publisher or a server that is killed at any instant leaves nothing that stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from edgerec.core.errors import FormatError, OutputError, StoreError
from edgerec.kv.npz import NpzTables
from edgerec.kv.redis_client import answers, request
from edgerec.kv.redis_version import UNKNOWN, Description, StoredTable, damage, parse_description, row_fields
from edgerec.kv.store import check_numbers

STAGING_SECONDS = 3600
"""Rows of an interrupted publication expire so many seconds after the last write."""
PUBLISH_ROWS = 1000


def stage(client: Any, tables: NpzTables, description: Description, *, address: str) -> None:
    """Write all rows of `tables` to the places of `description`.

    Raises:
        FormatError: a row with NaN or an infinite number.
        StoreError: the server does not answer or is full.
    """
    staged: list[str] = []
    for name, stored in description.tables.items():
        table, what = tables.tables[name], f"table {name} of version {tables.version_id}"
        staged.append(stored.place)
        _write(client, staged, [UNKNOWN], _bytes(table.unknown[None, :], stored, what), address=address)
        for keys, values in table.blocks(PUBLISH_ROWS):
            _write(client, staged, row_fields(keys), _bytes(values, stored, what), address=address)


def _bytes(values: NDArray[Any], stored: StoredTable, what: str) -> list[bytes]:
    """Each row of `values` (b, dimension) as the server gets it."""
    check_numbers(values, what, advice="export the bundle again")
    packed, width = values.astype(stored.dtype, copy=False).tobytes(), stored.row_bytes
    return [packed[at : at + width] for at in range(0, len(packed), width)]


def _write(client: Any, staged: list[str], fields: list[bytes], rows: list[bytes], *, address: str) -> None:
    """Write `rows` to the last of the places `staged`, and put off the expiry of all of them."""
    with request(address):
        pipeline = client.pipeline(transaction=True)
        pipeline.hset(staged[-1], mapping=dict(zip(fields, rows, strict=True)))
        for place in staged:
            pipeline.expire(place, STAGING_SECONDS)
        answers(pipeline)


def commit(client: Any, versions: str, description: Description, *, replace: bool, address: str) -> None:
    """Make staged rows a version in one transaction: all of them are there, they no longer expire, and it is known.

    A version of the same name that is damaged is replaced.

    Args:
        client: of the server.
        versions: the Redis key of all descriptions.
        description: of the version.
        replace: a whole version of the same name, too.
        address: of the server, for errors.

    Raises:
        OutputError: there is such a version, and it is whole.
        StoreError: rows are missing, or the server does not answer.
    """
    version_id, ours = description.version_id, description.model_dump_json().encode()

    def change(pipeline: Any) -> None:
        found = pipeline.hget(versions, version_id)
        # It may be ours: the connection was lost after the server had committed.
        if found != ours:
            before = replaceable(pipeline, found, version_id, replace=replace, address=address)
            refuse_damage(pipeline, description, address=address)
            pipeline.multi()
            for place in description.places:
                pipeline.persist(place)
            pipeline.hset(versions, version_id, ours)
            if before:
                pipeline.unlink(*before)

    with request(address):
        # It is tried again when another version is committed meanwhile.
        client.transaction(change, versions, *description.places)


def replaceable(client: Any, found: bytes | None, version_id: str, *, replace: bool, address: str) -> list[str]:
    """Return the places of the version whose description is `found` if another publication may replace it.

    Raises:
        OutputError: it is whole, and `replace` is false.
    """
    if found is None:
        return []
    try:
        description = parse_description(found, version_id, address=address)
    except FormatError:
        return []
    if replace or any(damages(client, description)):
        return description.places
    raise OutputError(
        f"embedding store {address}: it has version {version_id} already: leave it, or publish with replace=True"
    )


def damages(client: Any, description: Description) -> Iterator[str]:
    """Say of each table of a version that lost rows what is wrong with it."""
    for name, table in description.tables.items():
        fault = damage(table, client.hlen(table.place), name=name, version_id=description.version_id)
        if fault is not None:
            yield fault


def refuse_damage(client: Any, description: Description, *, address: str) -> None:
    """Refuse a version of which a table or a row is gone.

    Raises:
        StoreError: it is.
    """
    for fault in damages(client, description):
        raise StoreError(f"embedding store {address}: {fault}")
