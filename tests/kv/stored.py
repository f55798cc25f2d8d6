"""What a Redis store has in its servers, and damage to it. Works for one server and for a cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore

BUCKET_ROWS = 200
"""In the cluster of the tests, a table with 1,000 rows has five buckets."""


def field(key: int) -> bytes:
    """Return the field of a key in a hash."""
    return np.int64(key).tobytes()


def all_keys(store: RedisStore, pattern: str) -> list[bytes]:
    """Return the Redis keys that fit a pattern, of all servers."""
    with store.connected() as client:
        servers = {"target_nodes": "primaries"} if hasattr(client, "get_primaries") else {}
        return sorted(client.keys(pattern, **servers))


def redis_keys(store: RedisStore) -> list[str]:
    """Return the store's keys without their prefix. The buckets of a table count as one key."""
    found = [key.decode() for key in all_keys(store, f"*{store.prefix}*")]
    short = (re.sub(rf"^\{{?{re.escape(store.prefix)}}}?", "", key) for key in found)
    return sorted({re.sub(r"\{(\w+)\..*}", r"\1", key) for key in short})


def catalogue_key(store: RedisStore, name: str) -> str:
    """Return the Redis key of the versions or of the current version."""
    return store._servers.catalogue_key(store.prefix, name)


def buckets(store: RedisStore, table: str) -> list[bytes]:
    """Return the Redis keys of a table's hashes."""
    return all_keys(store, f"{store.prefix}:rows:*:{table}")


def bucket_with(store: RedisStore, table: str, key: int) -> bytes:
    """Return the Redis key of the hash that has the row of a key."""
    with store.connected() as client:
        [found] = [each for each in buckets(store, table) if client.hexists(each, field(key))]
    return found


def delete(store: RedisStore, table: str) -> None:
    """Delete a hash of a table, as an eviction or an expiry does."""
    with store.connected() as client:
        assert client.delete(buckets(store, table)[0]) == 1


def delete_row(store: RedisStore, table: str, key: int) -> None:
    """Delete a row."""
    with store.connected() as client:
        assert client.hdel(bucket_with(store, table, key), field(key)) == 1
