"""What a publication leaves behind when the server loses rows, or when it is broken off."""

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
from tests.kv.tables import make
from tests.kv.test_redis import TABLES, places, version

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore


def before_last_block(shards: NpzTables, act: Callable[[], None]) -> NpzTables:
    """`shards`, whose publication does `act` when the last of its blocks is asked for."""
    *_, table = shards.tables.values()
    blocks = table.blocks

    def acting(rows: int) -> Iterator[Any]:
        act()
        return blocks(rows)

    table.blocks = acting  # type: ignore[method-assign,assignment]
    return shards


def keys_of(store: RedisStore, table: str) -> list[bytes]:
    with store.connected() as client:
        found: list[bytes] = client.keys(f"{store.prefix}:rows:*:{table}")
    return found


def delete(store: RedisStore, table: str) -> None:
    """What an eviction or an expiry does to a table."""
    with store.connected() as client:
        assert client.delete(*keys_of(store, table)) == 1


def delete_row(store: RedisStore, table: str, key: int) -> None:
    with store.connected() as client:
        assert client.hdel(keys_of(store, table)[0], np.int64(key).tobytes()) == 1


LOSSES: dict[str, Callable[[RedisStore], None]] = {
    "a table": lambda store: delete(store, "brand"),
    "a row": lambda store: delete_row(store, "brand", 7),
}
SHOPS = {"brand": TABLES["brand"], "shop": make(range(30))}
"""`brand` is written first."""


@pytest.mark.parametrize("lost", LOSSES)
def test_a_version_of_which_something_is_gone_is_not_committed(store: RedisStore, tmp_path: Path, lost: str) -> None:
    shards = before_last_block(version(tmp_path, "v1", SHOPS), lambda: LOSSES[lost](store))
    with pytest.raises(StoreError, match=r"brand of version v1 .*maxmemory-policy"):
        store.publish(shards)
    assert (store.versions(), store.current(), places(store)) == ([], None, [])


def test_every_write_of_rows_sets_an_end(store: RedisStore, redis_url: str, tmp_path: Path) -> None:
    """A publisher or a server that is killed between any two commands leaves nothing that stays."""
    import redis

    with contextlib.closing(redis.Redis.from_url(redis_url)) as client, client.monitor() as monitor:
        store.publish(version(tmp_path, "v1", SHOPS))
        client.echo("the end")
        seen = itertools.takewhile(lambda said: "the end" not in said, (one["command"] for one in monitor.listen()))
        said = "\n".join(seen)
    # Of all writes of rows, the ones outside a transaction and the ones in a transaction that sets no end.
    transactions = re.findall(r"^MULTI\n(.*?)^EXEC$", said, re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^MULTI\n.*?^EXEC$", "", said, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(rf"^(HSET|PERSIST) {store.prefix}", outside, re.MULTILINE)
    writes = [one for one in transactions if re.search(rf"^HSET {store.prefix}:rows:", one, re.MULTILINE)]
    # Two unknown rows, four blocks of `brand`, one of `shop`.
    assert len(writes) == 7
    for one in writes:
        ends = set(re.findall(r"^EXPIRE (\S+)", one, re.MULTILINE))
        assert set(re.findall(r"^HSET (\S+)", one, re.MULTILINE)) <= ends


def test_rows_that_wait_for_other_tables_do_not_run_out(store: RedisStore, tmp_path: Path) -> None:
    """Each block that is written renews the end of all tables that were staged before it."""

    def nearly_out() -> None:
        with store.connected() as client:
            client.expire(keys_of(store, "brand")[0], 100)

    lives: list[int] = []
    shards = before_last_block(version(tmp_path, "v1", SHOPS), nearly_out)
    table = shards.tables["shop"]
    blocks = table.blocks

    def watched(rows: int) -> Iterator[Any]:
        yield from blocks(rows)
        with store.connected() as client:
            lives.append(client.ttl(keys_of(store, "brand")[0]))

    table.blocks = watched  # type: ignore[method-assign,assignment]
    store.publish(shards)
    assert lives[0] > 100


def test_another_version_committed_meanwhile_is_no_conflict(store: RedisStore, tmp_path: Path) -> None:
    other = version(tmp_path, "v2")
    store.publish(before_last_block(version(tmp_path, "v1"), lambda: store.publish(other) and None))
    assert (store.versions(), store.current()) == (["v1", "v2"], "v1")


@pytest.mark.parametrize("lost", LOSSES)
def test_publishing_again_repairs_a_version(store: RedisStore, tmp_path: Path, lost: str) -> None:
    """The current version cannot be removed; publishing is the command that repairs it."""
    shards = version(tmp_path, "v1", SHOPS)
    opened = store.publish(shards)
    with pytest.raises(OutputError, match="it has version v1 already"):
        store.publish(shards)
    LOSSES[lost](store)
    with pytest.raises(StoreError, match=r"brand of version v1 .*publish"):
        opened.get_many({"brand": np.arange(3)})
    with pytest.raises(StoreError, match=r"brand of version v1 .*publish"):
        store.switch("v1")
    store.publish(shards)
    found = store.open().get_many({"brand": np.arange(1000)})["brand"]
    np.testing.assert_array_equal(found.rows, TABLES["brand"].values)
    # The versions, the current one, two tables: nothing is left of the damaged ones.
    assert len(places(store)) == 4


def test_a_whole_version_is_replaced_on_demand(store: RedisStore, tmp_path: Path) -> None:
    """Damage that no count shows has a command that repairs it, too."""
    shards = version(tmp_path, "v1", SHOPS)
    opened = store.publish(shards)
    with store.connected() as client:
        client.hset(keys_of(store, "brand")[0], np.int64(7).tobytes(), np.full(5, np.nan, np.float32).tobytes())
    with pytest.raises(FormatError, match=r"brand of version v1 .*NaN .*publish this one again with replace=True"):
        opened.get_many({"brand": np.array([7])})
    with pytest.raises(OutputError, match="already: leave it, or publish with replace=True"):
        store.publish(shards)
    found = store.publish(shards, replace=True).get_many({"brand": np.array([7])})["brand"]
    np.testing.assert_array_equal(found.rows, TABLES["brand"].values[7:8])
    assert len(places(store)) == 4


def test_publishing_again_repairs_an_unreadable_description(store: RedisStore, tmp_path: Path) -> None:
    shards = version(tmp_path, "v1")
    store.publish(shards)
    with store.connected() as client:
        client.hset(f"{store.prefix}:versions", "v1", "[" * 100_000)
    with pytest.raises(FormatError, match=r"version v1: .*: publish it"):
        store.open()
    store.publish(shards)
    assert store.open().get_many({"shop": np.array([0])})["shop"].unknown == 0


def test_an_unreadable_version_can_be_removed(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    with store.connected() as client:
        client.hset(f"{store.prefix}:versions", "v0", "no description")
    store.remove("v0")
    assert store.versions() == ["v1"]
    assert store.open().version_id == "v1"


def test_the_only_version_says_what_to_do(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    with pytest.raises(InputError, match="version v1 is the current one, and there is no other: publish another first"):
        store.remove("v1")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_no_numbers_are_not_published(store: RedisStore, tmp_path: Path, bad: float) -> None:
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
    assert (store.versions(), places(store)) == ([], [])
