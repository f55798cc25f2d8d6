"""Tests of the cache in front of tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import EdgeRecError, InputError, ShapeError, StoreError
from edgerec.kv.cache import CachedTables
from edgerec.kv.store import EmbeddingTables, Keys, Lookup
from edgerec.kv.table_entry import TableEntry
from tests.kv.test_redis import TABLES, version

ENTRY = TableEntry(keys=100, dimension=2, dtype="float32", shards=1)


class Counted:
    """Tables whose row for key k is (k, k + 1), without rows for negative keys. They note what they were asked."""

    version_id = "v1"

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.fails = False

    @property
    def dimensions(self) -> Mapping[str, int]:
        return {"shop": 2}

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        if self.fails:
            raise StoreError("no answer")
        self.asked += [key for keys in keys_by_feature.values() for key in keys.tolist()]
        return {
            name: Lookup(np.stack([keys, keys + 1], 1).astype(np.float32), keys >= 0)
            for name, keys in keys_by_feature.items()
        }


def cached(tables: EmbeddingTables, limit: int = 10**6) -> CachedTables:
    return CachedTables(tables, {"shop": ENTRY}, limit=limit)


def check(found: Lookup, keys: Keys) -> None:
    np.testing.assert_array_equal(found.rows, np.stack([keys, keys + 1], 1))
    np.testing.assert_array_equal(found.known, keys >= 0)


@settings(max_examples=60)
@given(
    pages=st.lists(st.lists(st.integers(-20, 150), max_size=30), max_size=12),
    limit=st.sampled_from([1, 25 * 16, 25 * 80, 10**5]),
)
def test_a_cache_of_any_size_returns_the_rows_of_the_tables(pages: list[list[int]], limit: int) -> None:
    tables = cached(Counted(), limit)
    for page in pages:
        keys = np.array(page, np.int64)
        found = tables.get_many({"shop": keys})["shop"]
        check(found, keys)
        # The caller may change what it got.
        found.rows[:] = -7
    assert tables.counts.keys == sum(map(len, pages))


def test_a_row_is_asked_for_once() -> None:
    inner = Counted()
    tables = cached(inner)
    tables.get_many({"shop": np.array([1, 2, -3])})
    tables.get_many({"shop": np.array([2, 1, -3, 4])})
    # Keys that no table has are kept, too.
    assert inner.asked == [1, 2, -3, 4]
    assert (tables.counts.keys, tables.counts.hits, tables.counts.hit_rate) == (7, 3, 3 / 7)


def test_the_row_that_was_used_the_longest_time_ago_leaves() -> None:
    inner = Counted()
    # One set of eight rows.
    tables = cached(inner, limit=25 * 8)
    for key in (*range(8), 0, 8):
        tables.get_many({"shop": np.array([key])})
    inner.asked.clear()
    for key in (0, 2, 8, 1):
        tables.get_many({"shop": np.array([key])})
    assert inner.asked == [1]


def test_a_cache_keeps_its_limit_and_small_tables_have_room() -> None:
    entries = {
        "city": TableEntry(keys=40, dimension=2, dtype="float32", shards=1),
        "brand": TableEntry(keys=10**6, dimension=40, dtype="float32", shards=1),
        "shop": TableEntry(keys=10**6, dimension=16, dtype="float32", shards=1),
    }
    tables = CachedTables(Counted(), entries, limit=200_000)
    assert 190_000 < tables.nbytes <= 200_000
    for _ in range(2):
        for key in range(40):
            tables.get_many({"city": np.array([key])})
    assert tables.counts.hits >= 38


def test_rows_in_the_cache_survive_the_store(tmp_path: Path) -> None:
    inner = Counted()
    tables = cached(inner)
    tables.get_many({"shop": np.arange(9)})
    inner.fails = True
    check(tables.get_many({"shop": np.arange(9)})["shop"], np.arange(9))
    with pytest.raises(StoreError, match="no answer"):
        tables.get_many({"shop": np.array([1, 50])})
    inner.fails = False
    check(tables.get_many({"shop": np.array([50])})["shop"], np.array([50]))


def test_wrong_requests_are_refused_as_by_the_tables(tmp_path: Path) -> None:
    shards = version(tmp_path, "v1")
    tables = CachedTables(shards, {name: table.entry for name, table in shards.tables.items()}, limit=10**6)
    assert (tables.version_id, tables.dimensions) == ("v1", shards.dimensions)
    requests = ({"city": np.arange(3)}, {"shop": np.zeros(3)}, {"shop": np.zeros((3, 1), np.int64)}, [])
    for request, kind in zip(requests, (InputError, ShapeError, ShapeError, InputError), strict=True):
        said = []
        for one in (shards, tables):
            with pytest.raises(kind) as caught:
                one.get_many(request)  # type: ignore[arg-type]
            assert isinstance(caught.value, EdgeRecError)
            said.append(str(caught.value))
        assert said[0] == said[1]
    with pytest.raises(InputError, match="its bytes should be at least 1; received 0"):
        cached(Counted(), limit=0)


def test_threads_share_a_cache(tmp_path: Path) -> None:
    shards = version(tmp_path, "v1")
    # The cache is much smaller than the table, so rows leave all the time.
    tables = CachedTables(shards, {name: table.entry for name, table in shards.tables.items()}, limit=9_000)

    def look_up(seed: int) -> bool:
        keys = np.random.default_rng(seed).integers(0, 1000, 50)
        return np.array_equal(tables.get_many({"brand": keys})["brand"].rows, TABLES["brand"].values[keys])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(look_up, range(400)))
    assert 0 < tables.counts.hits < tables.counts.keys


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_wait_for_the_lock_of_its_parent() -> None:
    tables = cached(Counted())
    check(tables.get_many({"shop": np.arange(5)})["shop"], np.arange(5))
    with tables._state().lock:
        child = os.fork()
        if not child:
            done = 1
            try:
                check(tables.get_many({"shop": np.arange(5)})["shop"], np.arange(5))
                done = 0
            finally:
                sys.stdout.flush()
                os._exit(done)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
