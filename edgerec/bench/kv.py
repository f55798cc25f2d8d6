"""`edgerec bench kv`: measure the look-up of a page's embeddings in npz shards and in Redis."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import uuid
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgerec.bench.environment import environment
from edgerec.bench.kv_pages import ITEMS, SEED, Page, uniform_pages, zipf_pages
from edgerec.bench.measure import take_turns
from edgerec.bench.rows import ratio_of, row_of
from edgerec.bench.temporary_tables import TemporaryTables
from edgerec.bundle.layout import CLOUD
from edgerec.bundle.tables import open_tables
from edgerec.core.atomic import check_document, write_json
from edgerec.core.console import log, stage
from edgerec.core.errors import InputError, ParityError
from edgerec.kv.cache import CachedTables
from edgerec.kv.npz import NpzTables
from edgerec.kv.store import EmbeddingTables, Keys, Lookup

STAGE, NPZ, REDIS, CLUSTER = "kv", "npz", "redis", "redis-cluster"
PAGES = 200
"""Number of different pages without `zipf`. All are looked up about equally often."""
WARM_PAGES, WARM_AT_ONCE = 20_000, 50
"""With `zipf`: a cache is filled with this number of pages before the measurement, some of them at once."""
CALLS = 50


def run_kv_bench(
    source: Path | TemporaryTables,
    *,
    redis_url: str | Sequence[str] | None = None,
    zipf: float | None = None,
    cache_mb: Sequence[int] = (),
    rounds: int = 30,
    out: Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Measure the look-up of a page: the rows of 100 items in all tables.

    Keys are drawn uniformly from each table, or with a Zipf distribution. One of 20 keys is not in the table.

    Args:
        source: the bundle whose tables are measured, or temporary tables.
        redis_url: addresses of Redis servers or clusters to measure, too. The tables are published there with a random
            prefix and removed at the end.
        zipf: exponent of the distribution of keys; None: uniform.
        cache_mb: with `zipf`: also measure each Redis behind caches of these sizes in MB.
        rounds: number of rounds. Each round measures all implementations, one after the other.
        out: also write the document to this file.
        force: replace `out` if it exists.

    Returns:
        A document with `environment`, `version_id`, `sizes`, `ratios` and `results`. The results have one row for each
        implementation, with its memory and all durations.

    Raises:
        InputError: `rounds` is less than one, or a cache is measured without `zipf` or without Redis.
        FormatError, IntegrityError: the bundle's tables cannot be used.
        StoreError: the Redis server does not answer.
        ParityError: the two stores return different rows.
    """
    if rounds < 1:
        raise InputError(f"bench: --rounds should be at least 1; received {rounds}")
    urls = [redis_url] if isinstance(redis_url, str) else list(redis_url or ())
    if cache_mb and (zipf is None or not urls):
        raise InputError("bench: --cache-mb needs --redis and --zipf, because a cache is of no use for uniform keys")
    if zipf is not None and not 0 < zipf <= 10:
        raise InputError(f"bench: --zipf should be a number above 0 and at most 10; received {zipf:g}")
    bundle = None if isinstance(source, TemporaryTables) else source
    if out is not None:
        check_document(out, force=force, inputs=[] if bundle is None else [bundle])
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(source.written()) if isinstance(source, TemporaryTables) else source / CLOUD
        before = _memory()
        tables = open_tables(cloud)
        drawn = uniform_pages(tables) if zipf is None else zipf_pages(tables, zipf)
        # With a cache, a page that comes again would be too easy.
        pages = list(itertools.islice(drawn, PAGES if zipf is None else max(PAGES, 2 * rounds * CALLS)))
        opened: dict[str, EmbeddingTables] = {NPZ: tables}
        memory: dict[str, dict[str, Any]] = {NPZ: _npz_memory(tables, pages, before)}
        caches: dict[str, CachedTables] = {}
        for url in urls:
            store = _name(url, opened)
            opened[store], memory[store] = stack.enter_context(_publish_temporarily(url, tables))
            for size in cache_mb:
                caches[f"{store} + {size} MB"] = _warm_cache(tables, zipf or 1.0, opened[store], size * 10**6)
        for name, cache in caches.items():
            opened[name], memory[name] = cache, {"resident_bytes": cache.nbytes, "private_bytes": cache.nbytes}
        _check_equal(opened, pages)
        for cache in caches.values():
            cache.counts.keys = cache.counts.hits = 0
        calls = {name: _calls(one, pages) for name, one in opened.items()}
        measured = take_turns(calls, rounds=rounds, calls=CALLS)
    for name, cache in caches.items():
        memory[name]["hit_rate"] = cache.counts.hit_rate
    rows = {name: row_of([found], name=name, stage=STAGE) for name, found in measured.items()}
    for name, row in rows.items():
        if row.unstable:
            log(f"{name}: {'; '.join(row.reasons)}. Measure again when the machine is idle")
    document = {
        "environment": environment(),
        "bundle": None if bundle is None else str(bundle),
        "version_id": tables.version_id,
        "sizes": {
            "items": ITEMS,
            "tables": {name: table.entry.model_dump() for name, table in tables.tables.items()},
        },
        "zipf": zipf,
        "rounds": rounds,
        "results": [{**row.model_dump(), **memory[name]} for name, row in rows.items()],
        "ratios": [
            ratio_of([measured[NPZ]], [peer], name=name, stage=STAGE).model_dump()
            for name, peer in measured.items()
            if name != NPZ
        ],
    }
    if out is not None:
        write_json(out, {"schema": 1, **document})
    return document


def _name(url: str, used: Container[str]) -> str:
    """Return the name of a Redis in the results; with a number, if another one of the same kind has it."""
    kind = CLUSTER if "+cluster:" in url else REDIS
    names = itertools.chain([kind], (f"{kind} {number}" for number in itertools.count(2)))
    return next(name for name in names if name not in used)


class _Replaceable:
    """Tables that can be replaced by others with the same rows. Implements `EmbeddingTables`."""

    def __init__(self, tables: EmbeddingTables) -> None:
        self.tables = tables
        self.version_id, self.dimensions = tables.version_id, tables.dimensions

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        return self.tables.get_many(keys_by_feature)


def _warm_cache(tables: NpzTables, zipf: float, behind: EmbeddingTables, limit: int) -> CachedTables:
    """Return a cache in front of `behind`. It is filled from `tables`, which are faster and have the same rows."""
    inner = _Replaceable(tables)
    cache = CachedTables(inner, {name: table.entry for name, table in tables.tables.items()}, limit=limit)
    with stage(f"fill a cache of {limit // 10**6} MB"):
        pages = zipf_pages(tables, zipf, items=ITEMS * WARM_AT_ONCE, seed=SEED + 1)
        for page in itertools.islice(pages, WARM_PAGES // WARM_AT_ONCE):
            cache.get_many({name: np.unique(keys) for name, keys in page.items()})
    inner.tables = behind
    return cache


def _calls(tables: EmbeddingTables, pages: list[Page]) -> Callable[[], Any]:
    turn = itertools.cycle(pages)
    return lambda: tables.get_many(next(turn))


def _check_equal(opened: dict[str, EmbeddingTables], pages: list[Page]) -> None:
    for page in pages[:20]:
        answers = {name: tables.get_many(page) for name, tables in opened.items()}
        for name, answer in answers.items():
            for feature, found in answer.items():
                ours = answers[NPZ][feature]
                if not np.array_equal(found.known, ours.known) or not np.array_equal(found.rows, ours.rows):
                    raise ParityError(
                        f"bench: {name} and {NPZ} return different rows of table {feature}: measure again"
                    )


def _npz_memory(tables: NpzTables, pages: list[Page], before: tuple[int, int]) -> dict[str, int]:
    """Look up every page once. Return the memory that this process then needs for the tables."""
    key_bytes = sum(keys.nbytes for page in pages for keys in page.values())
    for page in pages:
        tables.get_many(page)
    resident, private = (now - then - key_bytes for now, then in zip(_memory(), before, strict=True))
    return {"resident_bytes": max(0, resident), "private_bytes": max(0, private)}


def _memory() -> tuple[int, int]:
    """Return the resident memory of this process in bytes, and the part of it that is private to the process."""
    resident = int(psutil.Process().memory_info().rss)
    try:
        status = Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii")
    except OSError:
        return resident, resident
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return resident, int(found[1]) * 1024 if found else resident


@contextlib.contextmanager
def _publish_temporarily(url: str, tables: NpzTables) -> Iterator[tuple[EmbeddingTables, dict[str, Any]]]:
    """For the block, publish `tables` in the Redis server at `url`. Yield them and the memory that the server uses."""
    from edgerec.kv.redis import RedisStore

    store = RedisStore(url, prefix=f"edgerec-bench-{uuid.uuid4().hex[:12]}")
    try:
        before = store.server_memory()
        with stage("publish to Redis"):
            published = store.publish(tables, current=False)
        try:
            memory = {"resident_bytes": max(0, store.server_memory() - before)}
            yield published, {**memory, "private_bytes": memory["resident_bytes"]}
        finally:
            store.remove(tables.version_id)
    finally:
        store.close()
