from __future__ import annotations

import contextlib
import multiprocessing
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgerec.bench.cloud.redis_servers import free_port, redis_server
from edgerec.bundle.tables import open_tables
from edgerec.core.errors import EdgeRecError, FormatError, InputError, OutputError, ShapeError, StoreError
from edgerec.kv.npz import NpzTables, Table
from tests.kv.stored import all_keys, bucket_with, buckets, catalogue_key, field, redis_keys
from tests.kv.tables import expected, make, write_cloud
from tests.redis_server import need_redis

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore

TABLES = {"shop": make(range(-20, 40, 2), width=4), "brand": make(range(1000), width=5, seed=1), "none": make([])}


def version(tmp_path: Path, name: str, tables: dict[str, Table] | None = None, **more: Any) -> NpzTables:
    return open_tables(write_cloud(tmp_path / name, tables or TABLES, version_id=name, rows=300, **more))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_redis_returns_the_same_rows_as_the_shards(store: RedisStore, tmp_path: Path, dtype: Any) -> None:
    shards = version(tmp_path, "v1", dtype=dtype)
    store.publish(shards)
    opened = store.open()
    assert (opened.version_id, opened.dimensions) == ("v1", shards.dimensions)
    rng = np.random.default_rng(0)
    for size in (0, 1, 100, 3000):
        page = {name: rng.integers(-50, 1050, size) for name in ("brand", "none", "shop")}
        ours, theirs = shards.get_many(page), opened.get_many(page)
        assert list(theirs) == list(page)
        for name in page:
            np.testing.assert_array_equal(theirs[name].rows, ours[name].rows)
            np.testing.assert_array_equal(theirs[name].known, ours[name].known)
            assert theirs[name].unknown == ours[name].unknown
            assert theirs[name].rows.dtype == np.float32
            theirs[name].rows[:] = 0
    assert opened.get_many({}) == {}


def test_a_look_up_of_several_tables_takes_one_round_trip(server_store: RedisStore, tmp_path: Path) -> None:
    server_store.publish(version(tmp_path, "v1"))
    opened = server_store.open()
    page = {"shop": np.arange(100), "brand": np.arange(100)}
    opened.get_many(page)
    # A relay between client and server counts round trips.
    with _relay(server_store.address) as (url, turns):
        from edgerec.kv.redis import RedisStore

        relayed = RedisStore(url, prefix=server_store.prefix).open("v1")
        relayed.get_many(page)
        before = turns()
        for _ in range(5):
            relayed.get_many(page)
        assert turns() - before == 5


class _relay:  # noqa: N801
    """A relay to `address`. It counts the client's messages that follow a message of the server, as round trips."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._lock = threading.Lock()
        self._last, self._turns = "server", 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> tuple[str, Callable[[], int]]:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}", lambda: self._turns

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._to)
            self._sockets += [client, server]
            for name, source, target in (("client", client, server), ("server", server, client)):
                thread = threading.Thread(target=self._pass, args=(name, source, target), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, name: str, source: socket.socket, target: socket.socket) -> None:
        try:
            while content := source.recv(1 << 16):
                with self._lock:
                    self._turns += name == "client" and self._last == "server"
                    self._last = name
                target.sendall(content)
        except OSError:
            return


def test_versions_can_be_published_switched_and_removed(store: RedisStore, tmp_path: Path) -> None:
    assert (store.versions(), store.current()) == ([], None)
    with pytest.raises(InputError, match="there is no current version: publish one"):
        store.open()
    first, second = version(tmp_path, "v1"), version(tmp_path, "v2", {"shop": make(range(9), seed=9)})
    store.publish(first)
    store.publish(second, current=False)
    assert (store.versions(), store.current()) == (["v1", "v2"], "v1")
    assert len(redis_keys(store)) == 2 + 3 + 1
    old, new = store.open(), store.open("v2")
    keys = np.arange(12)
    np.testing.assert_array_equal(
        new.get_many({"shop": keys})["shop"].rows, expected(make(range(9), seed=9), range(12))
    )
    with pytest.raises(
        InputError, match="version v1 is the current version and cannot be removed: switch to another version first"
    ):
        store.remove("v1")
    store.switch("v2")
    np.testing.assert_array_equal(old.get_many({"shop": keys})["shop"].rows, expected(TABLES["shop"], range(12)))
    store.remove("v1")
    assert (store.versions(), store.current(), len(redis_keys(store))) == (["v2"], "v2", 3)
    with pytest.raises(StoreError, match="shop of version v1 does not exist any more: it was removed or evicted"):
        old.get_many({"shop": keys})
    for call in (store.open, store.remove, store.switch):
        with pytest.raises(InputError, match="unknown version v1; expected one of: v2"):
            call("v1")
    store.publish(first)
    assert store.current() == "v1"


def test_an_existing_version_is_not_published_again(store: RedisStore, tmp_path: Path) -> None:
    first = version(tmp_path, "v1")
    store.publish(first)
    with pytest.raises(OutputError, match="version v1 exists already"):
        store.publish(first)
    assert len(redis_keys(store)) == 5


def test_if_several_processes_publish_a_version_one_succeeds(store: RedisStore, tmp_path: Path) -> None:
    shards = version(tmp_path, "v1")

    def publish(_: int) -> str:
        try:
            store.publish(shards)
        except OutputError:
            return "late"
        return "first"

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(publish, range(6))) == ["first"] + ["late"] * 5
    assert len(redis_keys(store)) == 5
    np.testing.assert_array_equal(
        store.open().get_many({"brand": np.arange(1000)})["brand"].rows, TABLES["brand"].values
    )


def test_readers_see_complete_versions_during_publications(store: RedisStore, tmp_path: Path) -> None:
    """All rows of version n contain the number n. A reader must find this number for every key of its version."""
    keys = np.arange(1000)

    def shards(number: int) -> NpzTables:
        values = np.full((len(keys), 2), number, np.float32)
        return version(tmp_path, f"v{number}", {"shop": Table(keys, values, values[0] * -1)})

    store.publish(shards(0))
    done = threading.Event()

    def read() -> set[str]:
        seen = set()
        while not done.is_set():
            opened = store.open()
            seen.add(opened.version_id)
            rows, known = opened.get_many({"shop": keys[::7]})["shop"]
            assert known.all()
            assert (rows == float(opened.version_id[1:])).all()
        return seen

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        try:
            for number in range(1, 6):
                store.publish(shards(number))
        finally:
            done.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert len(seen) > 1
    assert store.versions() == [f"v{number}" for number in range(6)]


def test_a_failed_publication_leaves_no_version_and_no_rows(store: RedisStore, tmp_path: Path) -> None:
    class Broken(Exception):  # noqa: N818
        pass

    shards = version(tmp_path, "v1")
    table = shards.tables["brand"]
    expiry_times: list[int] = []

    def blocks(rows: int) -> Iterator[Any]:
        yield next(iter(type(table).blocks(table, 300)))
        assert store.versions() == []
        with store.connected() as client:
            expiry_times.extend(client.ttl(key) for key in buckets(store, "brand"))
        raise Broken

    table.blocks = blocks  # type: ignore[method-assign,assignment]
    with pytest.raises(Broken):
        store.publish(shards)
    # Rows have an expiry time until they are published, because a killed publisher cannot remove them.
    assert expiry_times
    assert all(0 < seconds <= 3600 for seconds in expiry_times)
    assert (store.versions(), store.current(), redis_keys(store)) == ([], None, [])


def test_published_rows_do_not_expire(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    with store.connected() as client:
        assert {client.ttl(key) for key in all_keys(store, f"*{store.prefix}*")} == {-1}


def test_threads_and_forked_processes_share_a_store(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    opened = store.open()

    def call(seed: int) -> bool:
        keys = np.random.default_rng(seed).integers(0, 1000, 100)
        return np.array_equal(opened.get_many({"brand": keys})["brand"].rows, TABLES["brand"].values[keys])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, range(200)))
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0 if call(1) and call(2) else 3))
    child.start()
    assert call(3)
    child.join()
    assert child.exitcode == 0


def test_unknown_features_and_wrong_key_types_are_refused(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    opened = store.open()
    with pytest.raises(InputError, match="feature 'city' has no table; features with tables: brand, none, shop"):
        opened.get_many({"city": np.arange(3)})
    with pytest.raises(ShapeError, match=r"keys of shop should be int64 \(m,\); received float64 \(3,\)"):
        opened.get_many({"shop": np.zeros(3)})  # type: ignore[dict-item]


def test_rows_and_version_descriptions_of_another_format_are_refused(store: RedisStore, tmp_path: Path) -> None:
    store.publish(version(tmp_path, "v1"))
    opened = store.open()
    with store.connected() as client:
        client.hset(bucket_with(store, "shop", 4), field(4), b"short")
        client.hset(catalogue_key(store, "versions"), "v0", b'{"format": 2, "version_id": "v0", "tables": {}}')
    with pytest.raises(FormatError, match="rows of shop of version v1 should have 16 bytes"):
        opened.get_many({"shop": np.array([4])})
    with pytest.raises(FormatError, match=r"description of version v0 is invalid \(format should be 1"):
        store.open("v0")


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost", "redis://host:port"])
def test_an_invalid_address_is_refused(redis_url: str, url: str) -> None:
    from edgerec.kv.redis import RedisStore

    with pytest.raises(InputError, match="address should be redis://host:port"):
        RedisStore(url)


def test_the_error_for_an_unreachable_server_is_one_line_without_the_password(redis_url: str) -> None:
    from edgerec.kv.redis import RedisStore

    port = free_port()
    store = RedisStore(f"redis://:secret@127.0.0.1:{port}")
    for call in (store.versions, store.open, lambda: store.remove("v1"), lambda: store.switch("v1")):
        with pytest.raises(
            StoreError, match=f"embedding store 127.0.0.1:{port}: .*refused.* Redis server runs"
        ) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


def test_errors_of_a_wrong_address_say_what_to_change(redis_url: str) -> None:
    from edgerec.kv.redis import RedisStore

    host = redis_url.removeprefix("redis://").partition("/")[0]
    wrong = {f"{redis_url}/999": "the number of the database", f"redis://:wrong@{host}": "the user and the password"}
    for url, said in wrong.items():
        with pytest.raises(StoreError, match=f": check {said}.* the address$"):
            RedisStore(url).versions()


def test_a_node_of_a_cluster_is_no_single_server(redis_cluster_url: str) -> None:
    from edgerec.kv.redis import RedisStore

    node = redis_cluster_url.removeprefix("redis+cluster://").partition(",")[0]

    def ask() -> None:
        for prefix in "abcdefgh":  # two of three keys belong to other masters
            RedisStore(f"redis://{node}", prefix=prefix).versions()

    with pytest.raises(StoreError, match=r"this is a node of a Redis Cluster: give its address as redis\+cluster://"):
        ask()


def test_the_store_handles_a_server_that_is_full_or_restarts(tmp_path: Path) -> None:
    need_redis()
    from edgerec.kv.redis import RedisStore

    shards = version(tmp_path, "v1")
    with redis_server("--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as server:
        store = RedisStore(server.url)
        with pytest.raises(StoreError, match="maxmemory") as caught:
            store.publish(version(tmp_path, "big", {"shop": make(range(5000), width=200)}))
        assert len(str(caught.value)) < 250
        assert (store.versions(), redis_keys(store)) == ([], [])
        store.publish(shards)
        opened = store.open()
        server.process.kill()
        server.process.wait()
        with pytest.raises(StoreError, match="check that the Redis server runs"):
            opened.get_many({"shop": np.arange(3)})
        with redis_server(port=int(server.url.rsplit(":", 1)[1])):
            # The new server has no data. The client reconnects automatically.
            with pytest.raises(EdgeRecError, match="does not exist any more"):
                opened.get_many({"shop": np.arange(3)})
            store.publish(shards)
            assert store.open().get_many({"shop": np.array([0])})["shop"].unknown == 0
        store.close()


def test_an_evicted_table_raises_an_error(store: RedisStore, tmp_path: Path) -> None:
    """A server that is full removes whole tables. The look-up must raise an error and not report unknown items."""
    store.publish(version(tmp_path, "v1"))
    opened = store.open()
    with store.connected() as client:
        for redis_key in buckets(store, "brand"):
            client.delete(redis_key)
    with pytest.raises(StoreError, match="brand of version v1 does not exist any more: it was removed or evicted"):
        opened.get_many({"shop": np.arange(3), "brand": np.arange(3)})


def test_missing_redis_skips_or_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("EDGEREC_REQUIRE_REDIS", "0")
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"):
        need_redis()
    monkeypatch.setenv("EDGEREC_REQUIRE_REDIS", "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install redis-server"):
        need_redis()
