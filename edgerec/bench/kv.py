"""`edgerec bench kv`: measure the look-up of a page's embeddings in npz shards and in Redis."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from edgerec.bench.environment import environment
from edgerec.bench.measure import take_turns
from edgerec.bench.rows import ratio_of, row_of
from edgerec.bench.temporary_tables import TemporaryTables
from edgerec.bundle.layout import CLOUD
from edgerec.bundle.tables import open_tables
from edgerec.core.atomic import check_document, write_json
from edgerec.core.console import log, stage
from edgerec.core.errors import InputError, ParityError
from edgerec.kv.npz import NpzTables
from edgerec.kv.store import EmbeddingTables

STAGE, NPZ, REDIS = "kv", "npz", "redis"
ITEMS = 100
"""Number of candidates on a page."""
PAGES = 200
"""Number of different pages. All are looked up about equally often."""
UNKNOWN_SHARE = 0.05
"""Share of keys that are not in a table. In practice they come from items that are newer than the model."""
CALLS = 50
SEED = 1

Page = dict[str, NDArray[np.int64]]


def run_kv_bench(
    source: Path | TemporaryTables,
    *,
    redis_url: str | None = None,
    rounds: int = 30,
    out: Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Measure the look-up of a page: the rows of 100 items in all tables.

    Keys are drawn uniformly from each table, and one of 20 keys is not in the table.

    Args:
        source: the bundle whose tables are measured, or temporary tables.
        redis_url: address of a Redis server to measure, too. The tables are published there with a random prefix and
            removed at the end.
        rounds: number of rounds. Each round measures all implementations, one after the other.
        out: also write the document to this file.
        force: replace `out` if it exists.

    Returns:
        A document with `environment`, `version_id`, `sizes`, `ratios` and `results`. The results have one row for each
        implementation, with its memory and all durations.

    Raises:
        InputError: `rounds` is less than one.
        FormatError, IntegrityError: the bundle's tables cannot be used.
        StoreError: the Redis server does not answer.
        ParityError: the two stores return different rows.
    """
    if rounds < 1:
        raise InputError(f"bench: --rounds should be at least 1; received {rounds}")
    bundle = None if isinstance(source, TemporaryTables) else source
    if out is not None:
        check_document(out, force=force, inputs=[] if bundle is None else [bundle])
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(source.written()) if isinstance(source, TemporaryTables) else source / CLOUD
        before = _memory()
        tables = open_tables(cloud)
        pages = _pages(tables)
        opened: dict[str, EmbeddingTables] = {NPZ: tables}
        memory = {NPZ: _npz_memory(tables, pages, before)}
        if redis_url is not None:
            opened[REDIS], memory[REDIS] = stack.enter_context(_publish_temporarily(redis_url, tables))
        _check_equal(opened, pages)
        calls = {name: _calls(one, pages) for name, one in opened.items()}
        measured = take_turns(calls, rounds=rounds, calls=CALLS)
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


def _pages(tables: NpzTables) -> list[Page]:
    """Draw the keys of all pages uniformly from each table. Uniform keys are the worst case for caches."""
    rng = np.random.default_rng(SEED)
    known = {
        name: np.concatenate([np.empty(0, np.int64), *(k for k, _ in t.blocks())]) for name, t in tables.tables.items()
    }
    return [{name: _draw(rng, keys) for name, keys in known.items()} for _ in range(PAGES)]


def _draw(rng: np.random.Generator, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    # A random negative int64 is almost never a key of the table.
    others = rng.integers(-(2**63), 0, ITEMS)
    if not len(keys):
        return others
    return np.where(rng.random(ITEMS) < UNKNOWN_SHARE, others, keys[rng.integers(0, len(keys), ITEMS)])


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
