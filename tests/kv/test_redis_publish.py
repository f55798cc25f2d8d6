"""Tests of publications that are interrupted, or whose rows the server loses."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgerec.core.errors import FormatError, InputError, OutputError, StoreError
from edgerec.kv.npz import NpzTables
from tests.kv.stored import bucket_with, buckets, catalogue_key, delete, delete_row, field, redis_keys
from tests.kv.tables import make
from tests.kv.test_redis import TABLES, version

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore


def before_last_table(shards: NpzTables, act: Callable[[], None]) -> NpzTables:
    """Change `shards` so that its publication calls `act` before it reads the last table."""
    *_, table = shards.tables.values()
    blocks = table.blocks

    def act_then_read(rows: int) -> Iterator[Any]:
        act()
        return blocks(rows)

    table.blocks = act_then_read  # type: ignore[method-assign,assignment]
    return shards


LOSSES: dict[str, Callable[[RedisStore], None]] = {
    "a table": lambda store: delete(store, "brand"),
    "a row": lambda store: delete_row(store, "brand", 7),
}
SHOPS = {"brand": TABLES["brand"], "shop": make(range(30))}
"""The tables of a version. `brand` is written first."""


@pytest.mark.parametrize("lost", LOSSES)
def test_a_version_with_lost_rows_is_not_committed(store: RedisStore, tmp_path: Path, lost: str) -> None:
    shards = before_last_table(version(tmp_path, "v1", SHOPS), lambda: LOSSES[lost](store))
    with pytest.raises(StoreError, match=r"brand of version v1 .*maxmemory-policy"):
        store.publish(shards)
    assert (store.versions(), store.current(), redis_keys(store)) == ([], None, [])


def test_every_write_of_rows_sets_an_expiry(server_store: RedisStore, redis_url: str, tmp_path: Path) -> None:
    """If the publisher or the server is killed between two commands, the rows expire and do not stay in the server."""
    import redis

    with contextlib.closing(redis.Redis.from_url(redis_url)) as client, client.monitor() as monitor:
        server_store.publish(version(tmp_path, "v1", SHOPS))
        client.echo("the end")
        seen = itertools.takewhile(
            lambda said: "the end" not in said, (transaction["command"] for transaction in monitor.listen())
        )
        said = "\n".join(seen)
    # No row is written outside a transaction, and each transaction that writes rows also sets their expiry.
    transactions = re.findall(r"^MULTI\n(.*?)^EXEC$", said, re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^MULTI\n.*?^EXEC$", "", said, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(rf"^HSET {server_store.prefix}:rows", outside, re.MULTILINE)
    # The rows do not expire any more only after they are listed as leftovers.
    before, _, after = outside.partition(f"HSET {server_store.prefix}:leftovers")
    assert ("PERSIST" in before, "PERSIST" in after) == (False, True)
    writes = [
        transaction
        for transaction in transactions
        if re.search(rf"^HSET {server_store.prefix}:rows:", transaction, re.MULTILINE)
    ]
    # Each of the two tables writes its row for unknown IDs, and then its blocks: four of `brand`, one of `shop`.
    assert len(writes) == 7
    for transaction in writes:
        expiring = set(re.findall(r"^EXPIRE (\S+)", transaction, re.MULTILINE))
        assert set(re.findall(r"^HSET (\S+)", transaction, re.MULTILINE)) <= expiring


def test_writing_a_table_renews_the_expiry_of_earlier_tables(store: RedisStore, tmp_path: Path) -> None:
    """Each block that is written renews the expiry of all tables that were written before it."""

    def shorten_expiry() -> None:
        with store.connected() as client:
            client.expire(buckets(store, "brand")[0], 100)

    expiry_times: list[int] = []
    shards = before_last_table(version(tmp_path, "v1", SHOPS), shorten_expiry)
    table = shards.tables["shop"]
    blocks = table.blocks

    def blocks_then_read_expiry(rows: int) -> Iterator[Any]:
        yield from blocks(rows)
        with store.connected() as client:
            expiry_times.append(client.ttl(buckets(store, "brand")[0]))

    table.blocks = blocks_then_read_expiry  # type: ignore[method-assign,assignment]
    store.publish(shards)
    assert expiry_times[0] > 100


def test_another_version_may_be_published_during_a_publication(store: RedisStore, tmp_path: Path) -> None:
    other = version(tmp_path, "v2")
    store.publish(before_last_table(version(tmp_path, "v1"), lambda: store.publish(other) and None))
    assert (store.versions(), store.current()) == (["v1", "v2"], "v1")


@pytest.mark.parametrize("lost", LOSSES)
def test_publishing_again_repairs_a_version(store: RedisStore, tmp_path: Path, lost: str) -> None:
    """The current version cannot be removed, so publishing it again is the way to repair it."""
    shards = version(tmp_path, "v1", SHOPS)
    opened = store.publish(shards)
    with pytest.raises(OutputError, match="version v1 exists already"):
        store.publish(shards)
    LOSSES[lost](store)
    with pytest.raises(StoreError, match=r"brand of version v1 .*publish"):
        opened.get_many({"brand": np.arange(3)})
    with pytest.raises(StoreError, match=r"brand of version v1 .*publish"):
        store.switch("v1")
    store.publish(shards)
    found = store.open().get_many({"brand": np.arange(1000)})["brand"]
    np.testing.assert_array_equal(found.rows, TABLES["brand"].values)
    # Only four keys are left: the versions, the current version and two tables. The damaged table is removed.
    assert len(redis_keys(store)) == 4


def test_replace_overwrites_a_version_that_has_all_its_rows(store: RedisStore, tmp_path: Path) -> None:
    """With `replace=True`, damage that does not change the number of rows can be repaired, too."""
    shards = version(tmp_path, "v1", SHOPS)
    opened = store.publish(shards)
    with store.connected() as client:
        client.hset(bucket_with(store, "brand", 7), field(7), np.full(5, np.nan, np.float32).tobytes())
    with pytest.raises(FormatError, match=r"brand of version v1 .*NaN .*publish this one again with replace=True"):
        opened.get_many({"brand": np.array([7])})
    with pytest.raises(OutputError, match="already: keep it, or publish with replace=True"):
        store.publish(shards)
    found = store.publish(shards, replace=True).get_many({"brand": np.array([7])})["brand"]
    np.testing.assert_array_equal(found.rows, TABLES["brand"].values[7:8])
    assert len(redis_keys(store)) == 4


def test_publishing_again_repairs_a_version_with_an_unreadable_description(store: RedisStore, tmp_path: Path) -> None:
    shards = version(tmp_path, "v1")
    store.publish(shards)
    with store.connected() as client:
        client.hset(catalogue_key(store, "versions"), "v1", "[" * 100_000)
    with pytest.raises(FormatError, match=r"description of version v1 is invalid .*: publish it"):
        store.open()
    store.publish(shards)
    assert store.open().get_many({"shop": np.array([0])})["shop"].unknown == 0


def test_an_unreadable_version_can_be_removed(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    with store.connected() as client:
        client.hset(catalogue_key(store, "versions"), "v0", "no description")
    store.remove("v0")
    assert store.versions() == ["v1"]
    assert store.open().version_id == "v1"


def test_the_error_for_removing_the_only_version_gives_advice(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    with pytest.raises(
        InputError, match="version v1 is the current version and cannot be removed: publish another version first"
    ):
        store.remove("v1")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_with_nan_or_infinity_are_not_published(store: RedisStore, tmp_path: Path, bad: float) -> None:
    shards = version(tmp_path, "v1")
    blocks = shards.tables["brand"].blocks

    def damaged(rows: int) -> Iterator[Any]:
        for keys, values in blocks(rows):
            values = values.copy()
            values[-1, -1] = bad
            yield keys, values

    shards.tables["brand"].blocks = damaged  # type: ignore[method-assign,assignment]
    with pytest.raises(FormatError, match=r"table brand of version v1 .*NaN or infinite"):
        store.publish(shards)
    assert (store.versions(), redis_keys(store)) == ([], [])
