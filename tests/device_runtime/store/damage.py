"""Change bytes in the file of a store, open it, and compare everything that it returns with what was written."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store import BehaviourStore
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from tests.device_runtime.store.example_rows import VERSION, behaviour, encode_all, open_store, request, same

ROWS = 10**6


def write_store(path: Path, count: int) -> Path:
    """Write a store with behaviours of both kinds, encodings, open and complete requests. Some rows are sent."""
    with open_store(path) as store:
        for number in range(count):
            for kind in BEHAVIOUR_KINDS:
                store.record(behaviour(number, kind))
                encode_all(store, kind)
            if number % 10 == 0:
                store.record_request(request(number, page_id=number // 10, time=behaviour(number).time))
            if number % 20 == 0:
                store.end_page(number // 10)
        batch = store.unsent(count // 2)
        assert batch is not None
        store.mark_sent(batch.number)
    return path


def content(store: BehaviourStore) -> list[object]:
    """Return all rows of a store."""
    found: list[object] = [store.store_id, store.last_time]
    for kind in BEHAVIOUR_KINDS:
        found += [store.latest(kind, ROWS), store.states(kind, VERSION), store.encoded_through(kind, VERSION)]
        found += [store.window(kind, VERSION, store.limits.of(kind)), sorted(store.item_counts(kind).items())]
    batch = store.unsent(ROWS)
    while batch is not None:
        found.append((batch.number, list(batch.events), list(batch.requests)))
        store.mark_sent(batch.number)
        batch = store.unsent(ROWS)
    return found


def copy(source: Path, target: Path) -> Path:
    shutil.copyfile(source, target)
    return target


def outcome(path: Path, intact: list[object]) -> str:
    """Open a damaged store. Return `intact`, `moved aside`, `refused`, or what is wrong."""
    before = path.read_bytes()
    try:
        store = open_store(path, if_damaged="move")
    except StoreError:
        return "refused" if path.read_bytes() == before else "refused and changed"
    with store:
        if store.damaged is not None:
            if store.damaged.read_bytes() != before:
                return "moved aside, but changed"
            return "moved aside" if store.record(behaviour(0)) == 0 else "the new store is not empty"
        return "intact" if same(content(store), intact) else "a wrong row"


def changed(content_: bytes, rng: random.Random, offset: int) -> bytes:
    """Return the content with 1 to 64 other bytes at an offset."""
    length = rng.choice((1, 1, 4, 16, 64))
    part = bytes(byte ^ rng.randrange(1, 256) for byte in content_[offset : offset + length])
    return content_[:offset] + part + content_[offset + length :]
