"""Tests of what only a cluster has: masters, slots that move, and a master that is down."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgerec.bench.cloud.redis_servers import Cluster, free_port, redis_cluster
from edgerec.core.errors import InputError, StoreError
from tests.forked import run_script
from tests.kv.stored import BUCKET_ROWS, bucket_with, field, redis_keys
from tests.kv.tables import make, write_cloud
from tests.kv.test_redis import TABLES, version
from tests.redis_server import need_redis

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore

PAGE = {"brand": np.arange(-50, 950), "shop": np.arange(-20, 40)}


def masters(store: RedisStore) -> list[Any]:
    """Return a client of redis-py for each master."""
    with store.connected() as client:
        return [client.get_redis_connection(node) for node in client.get_primaries()]


def check_rows(store: RedisStore) -> None:
    rows, known = store.open().get_many(PAGE)["brand"]
    assert known.tolist() == [key >= 0 for key in PAGE["brand"]]
    np.testing.assert_array_equal(rows[50:], TABLES["brand"].values[:950])


def test_the_buckets_of_a_table_are_spread_evenly(cluster_store: RedisStore, tmp_path: Path) -> None:
    big = {"shop": make(range(0, 42_000, 7), width=2)}
    description = cluster_store.publish(version(tmp_path, "v1", big))._tables["shop"]
    rows = [bucket.rows for bucket in description.buckets]
    assert (len(rows), sum(rows)) == (30, 6_000)
    assert max(rows) < 1.4 * BUCKET_ROWS
    counts = []
    for master in masters(cluster_store):
        counts.append(sum(master.exists(b.place) for b in description.buckets if _has(master, b.place)))
    assert counts == [10, 10, 10]


def _has(master: Any, key: str) -> bool:
    import redis

    try:
        return bool(master.exists(key))
    except redis.exceptions.MovedError:
        return False


def test_a_look_up_takes_one_round_trip_to_each_master(cluster_store: RedisStore, tmp_path: Path) -> None:
    opened = cluster_store.publish(version(tmp_path, "v1"))
    page = {"shop": np.arange(30), "brand": np.arange(0, 1000, 20)}
    opened.get_many(page)

    def reads() -> list[int]:
        return [master.info("stats")["total_reads_processed"] for master in masters(cluster_store)]

    idle = np.subtract(reads(), reads())
    before = reads()
    for _ in range(5):
        opened.get_many(page)
    # Asking for the statistics is a read, too.
    assert (np.subtract(reads(), before) + idle).tolist() == [5, 5, 5]


def test_look_ups_follow_a_slot_that_moves(cluster_store: RedisStore, tmp_path: Path) -> None:
    cluster_store.publish(version(tmp_path, "v1"))
    check_rows(cluster_store)
    key = bucket_with(cluster_store, "brand", 7).decode()
    with cluster_store.connected() as client:
        slot, source = client.keyslot(key), client.get_node_from_key(key)
        target = next(node for node in client.get_primaries() if node != source)
        here, there = client.get_redis_connection(source), client.get_redis_connection(target)
    ids = [node.execute_command("CLUSTER", "MYID").decode() for node in (here, there)]

    def move(old: Any, new: Any, port: int, old_id: str, new_id: str) -> None:
        new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
        old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)
        check_rows(cluster_store)
        old.migrate("127.0.0.1", port, key, 0, 5000)
        # The old master answers ASK.
        check_rows(cluster_store)
        for node in (new, old):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)
        # The old master answers MOVED.
        check_rows(cluster_store)

    move(here, there, target.port, *ids)
    move(there, here, source.port, *reversed(ids))


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster whose masters a test may stop or kill."""
    need_redis()
    with redis_cluster() as cluster:
        yield cluster


def test_a_master_that_hangs_or_dies_is_reported_in_time(own_cluster: Cluster, tmp_path: Path) -> None:
    from edgerec.kv.redis import RedisStore

    store = RedisStore(own_cluster.url, bucket_rows=20, look_up_seconds=0.3, pause_seconds=0.3)
    store.publish(version(tmp_path, "v1"))
    opened = store.open()
    check_rows(store)
    master = own_cluster.masters[1]

    def failed() -> float:
        start = time.monotonic()
        with pytest.raises(StoreError) as caught:
            opened.get_many(PAGE)
        assert "\n" not in str(caught.value)
        return time.monotonic() - start

    master.process.send_signal(signal.SIGSTOP)
    # Each of the 50 buckets takes commands; all of them together keep the limit.
    assert 0.2 < failed() < 5
    # During the pause nobody waits.
    assert failed() < 0.2
    time.sleep(0.8)
    # By now the other masters say that the cluster is down.
    assert failed() < 5
    master.process.send_signal(signal.SIGCONT)
    _until_answered(lambda: check_rows(store))
    master.process.kill()
    master.process.wait()
    assert failed() < 5
    # A program that starts now finds the other masters, and says what is wrong.
    with pytest.raises(StoreError, match="embedding store 127"):
        RedisStore(own_cluster.url, look_up_seconds=0.3).open("v1").get_many(PAGE)
    store.close()


def _until_answered(call: Any) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            return call()
        except StoreError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("where", ["server", "cluster"])
def test_a_killed_publication_is_cleaned_up(
    where: str, redis_url: str, redis_cluster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher is killed after its rows live for ever, and before the version is added."""
    from edgerec.kv import redis_leftovers
    from edgerec.kv.redis import RedisStore

    url, prefix = redis_url if where == "server" else redis_cluster_url, f"killed-{where}-{time.time_ns()}"
    script = """
import os, sys
from pathlib import Path
from edgerec.bundle.tables import open_tables
from edgerec.kv import redis_publish
from edgerec.kv.redis import RedisStore
redis_publish.raise_if_damaged = lambda *_: os._exit(9)
RedisStore(sys.argv[2], prefix=sys.argv[3], bucket_rows=200).publish(open_tables(Path(sys.argv[1])))
"""
    cloud = write_cloud(tmp_path / "killed", TABLES, version_id="v1", rows=300)
    assert subprocess.call([sys.executable, "-c", script, str(cloud), url, prefix]) == 9
    store = RedisStore(url, prefix=prefix, bucket_rows=BUCKET_ROWS)
    assert store.versions() == []
    assert len(redis_keys(store)) == 3 + 1
    # Another publication may still be at work, so young rows are kept.
    store.publish(version(tmp_path, "v2"))
    assert len(redis_keys(store)) == 3 + 1 + 3 + 2
    monkeypatch.setattr(redis_leftovers, "LEFTOVER_SECONDS", 0)
    store.publish(version(tmp_path, "v3"))
    assert len(redis_keys(store)) == 3 + 3 + 2
    check_rows(store)
    store.close()


def test_a_publication_whose_rows_were_swept_is_not_committed(
    store: RedisStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publication that hangs for hours between its check and its commit fails, and adds no version without rows."""
    from edgerec.kv import redis_leftovers, redis_publish

    check = redis_publish.raise_if_damaged

    def check_then_wait(*arguments: Any) -> None:
        check(*arguments)
        with store.connected():
            redis_leftovers.sweep(store._servers, store._leftovers)

    monkeypatch.setattr(redis_leftovers, "LEFTOVER_SECONDS", 0)
    monkeypatch.setattr(redis_publish, "raise_if_damaged", check_then_wait)
    with pytest.raises(StoreError, match="took too long: publish again"):
        store.publish(version(tmp_path, "v1"))
    assert (store.versions(), redis_keys(store)) == ([], [])


def test_a_fork_during_a_request_of_another_thread_works(tmp_path: Path, redis_cluster_url: str) -> None:
    script = """
    import numpy as np
    from pathlib import Path
    from edgerec.bundle.tables import open_tables
    from edgerec.kv.redis import RedisStore
    store = RedisStore(sys.argv[2], prefix=sys.argv[3])
    tables = store.publish(open_tables(Path(sys.argv[1])))
    def work():
        assert tables.get_many({"shop": np.arange(40)})["shop"].unknown == 0
    for said in while_busy(work):
        print(said, file=sys.stderr)
    work()
    """
    cloud = write_cloud(tmp_path / "cloud", {"shop": make(range(40))}, version_id="v1")
    assert run_script(script, cloud, redis_cluster_url, "forks") == ["done"] * 12


def test_a_row_in_the_wrong_bucket_is_damage(cluster_store: RedisStore, tmp_path: Path) -> None:
    """Each bucket counts its own rows, so rows that change places are noticed."""
    opened = cluster_store.publish(version(tmp_path, "v1"))
    here = bucket_with(cluster_store, "brand", 7)
    there = next(
        bucket_with(cluster_store, "brand", key)
        for key in range(8, 99)
        if bucket_with(cluster_store, "brand", key) != here
    )
    with cluster_store.connected() as client:
        row = client.hget(here, field(7))
        client.hdel(here, field(7))
        client.hset(there, field(7), row)
    with pytest.raises(StoreError, match=r"brand of version v1 has \d+ instead of \d+ rows"):
        opened.get_many(PAGE)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+cluster://localhost/3", "a Redis Cluster has no databases"),
        ("redis+cluster://localhost:1,localhost:x", "received another form"),
        ("redis+cluster://localhost:1,", "received another form"),
        ("redis+cluster://localhost?foo=1", "option 'foo'; allowed are"),
        ("unix+cluster://x", "received another form"),
    ],
)
def test_a_wrong_address_of_a_cluster_is_refused(redis_cluster_url: str, url: str, said: str) -> None:
    from edgerec.kv.redis import RedisStore

    with pytest.raises(InputError, match=said):
        RedisStore(url)


def test_a_prefix_with_braces_or_a_wrong_bucket_size_is_refused(redis_cluster_url: str) -> None:
    from edgerec.kv.redis import RedisStore

    with pytest.raises(InputError, match="prefix of a cluster should have no braces; received 'a"):
        RedisStore(redis_cluster_url, prefix="a{b}")
    with pytest.raises(InputError, match="rows of a bucket should be at least 1; received 0"):
        RedisStore(redis_cluster_url, bucket_rows=0)


def test_a_server_without_cluster_mode_and_a_closed_port_are_reported(redis_url: str) -> None:
    from edgerec.kv.redis import RedisStore

    host = redis_url.removeprefix("redis://")
    addresses = {
        f"redis+cluster://{host}": "not enabled.*: this is a single server: give its address as redis://host",
        f"redis+cluster://:secret@{host}": "check the user and the password",
        f"redis+cluster://:secret@127.0.0.1:{free_port()}": "refused",
    }
    for url, said in addresses.items():
        with pytest.raises(StoreError, match=said) as caught:
            RedisStore(url).versions()
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
