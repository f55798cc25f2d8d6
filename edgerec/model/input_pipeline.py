"""The input pipeline: which requests make a batch, in which order, and batches made while another one is at work.

Requests of one user read the same behaviours, and a batch has these once. So that there is something to share, an epoch
keeps a few requests of a user together.

Requests of one page share labels: the later ones label again what was exposed after them. So an epoch of a training
draws one request of each page. Another epoch draws another one, with another list and other behaviours before the same
labels.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Requests, Samples, Shard, join_shards
from edgerec.model.batches import Batch, Shapes, make_batch

WINDOW = 64
"""Batches whose requests are sorted by length together: enough that the sequences of a batch are of nearly one length,
few enough that batches stay mixed."""
MIX = 65_536
"""Fewest requests in memory together. Batches are drawn from them; shards are joined until there are so many."""
AHEAD = 4
"""Batches that are made while one is at work."""

Item = TypeVar("Item")


def groups(samples: Samples, split: str, *, rng: np.random.Generator | None = None) -> Iterator[Shard]:
    """Yield all requests of a split once, in groups of at least `MIX` requests; the last group may be smaller.

    `rng` draws the order of the shards. Without it they come in the order in which they are stored.
    """
    sizes = [entry.splits[split].requests for entry in samples.head.shards]
    order = np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))
    chosen: list[int] = []
    left = sum(sizes)
    for number in order:
        if sizes[number]:
            chosen.append(int(number))
        size = sum(sizes[one] for one in chosen)
        if chosen and (size >= MIX or size == left):
            yield join_shards([samples.shard(one, split) for one in chosen])
            chosen, left = [], left - size


def epoch(
    samples: Samples,
    split: str,
    *,
    batch_size: int,
    rng: np.random.Generator | None = None,
    shuffle_candidates: bool = False,
    one_per_page: bool = False,
    together: int = 8,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Yield the batches of one epoch: all requests of a split once.

    With `rng` they are shuffled, for training. Without it they come by length, for evaluation. Only a group of shards
    is in memory at a time, and only its requests are mixed.

    Args:
        samples: the samples.
        split: the split to read.
        batch_size: number of requests in a batch.
        rng: draws the batches.
        shuffle_candidates: draw the order within each list, too.
        one_per_page: read only one request of each page, which `rng` draws.
        together: up to this many requests of a user follow each other.
        part: (i, n) gives part i of n of each batch: the share of one of n workers.
    """
    before, (which, parts) = 0, part
    shapes = Shapes(-(-batch_size // parts), samples.head.limits)
    for shard in groups(samples, split, rng=rng):
        chosen = one_per_page_of(shard.requests, rng) if rng is not None and one_per_page else None
        for rows in shard_batches(shard.requests, chosen, batch_size=batch_size, rng=rng, together=together):
            # Every worker draws for the whole batch, so that all of them stay in step.
            shuffle = rng.spawn(1)[0] if rng is not None and shuffle_candidates else None
            mine = rows[len(rows) * which // parts : len(rows) * (which + 1) // parts]
            batch = make_batch(shard, mine, shuffle=shuffle, shapes=shapes)
            yield replace(batch, rows=batch.rows + before)
        before += len(shard.requests)


def shard_batches(
    requests: Requests,
    chosen: NDArray[np.int64] | None = None,
    *,
    batch_size: int,
    rng: np.random.Generator | None = None,
    together: int = 8,
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows (batch,) of each batch. The last batch may be smaller than `batch_size`.

    Each of the `chosen` (c,) rows of a shard comes once; default: all rows. Requests of similar length share a batch,
    so that little is computed for padding.
    """
    chosen = np.arange(len(requests)) if chosen is None else chosen
    if not len(chosen):
        return
    sizes = _sizes(requests)
    rows, block = _blocks(requests, chosen, sizes[1], together=together, rng=rng)
    count = int(block.max(initial=-1)) + 1
    place = np.arange(count) if rng is None else rng.permutation(count)
    # Blocks in a drawn order.
    order = np.argsort(place[block], kind="stable")
    rows, block = rows[order], block[order]
    largest = np.zeros((2, count), np.int64)
    for each, size in zip(largest, sizes, strict=True):
        np.maximum.at(each, block, size[rows])
    first, second = largest[:, block]
    stride = len(rows) if rng is None else WINDOW * batch_size
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(rows), max(stride, 1)):
        window = np.arange(start, min(start + stride, len(rows)))
        window = window[np.argsort(first[window], kind="stable")]
        # Sort by the first length, and by the second within parts: there are as many parts as batches in a part.
        part = max(int(np.sqrt(len(window) / batch_size)), 1) * batch_size
        for at in range(0, len(window), part):
            chunk = window[at : at + part]
            chunk = rows[chunk[np.argsort(second[chunk], kind="stable")]]
            batches += [chunk[low : low + batch_size] for low in range(0, len(chunk), batch_size)]
    drawn = range(len(batches)) if rng is None else rng.permutation(len(batches))
    for number in drawn:
        yield batches[number]


def _sizes(requests: Requests) -> list[NDArray[np.int64]]:
    """Return what each request costs: its exposed candidates (r,), and its behaviours to attend to (r,)."""
    shown = np.add.reduceat((requests.label != NOT_EXPOSED).astype(np.int64), requests.offsets[:-1])
    behaviours = np.diff(requests.exposures)[:, 0] + np.diff(requests.page_views)[:, 0]
    return [shown, behaviours]


def one_per_page_of(requests: Requests, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the row of one request of each page, (pages,), which `rng` draws."""
    order = np.lexsort((rng.random(len(requests)), requests.page, requests.user))
    user, page = requests.user[order], requests.page[order]
    first: NDArray[np.bool_] = np.concatenate([[True], (user[1:] != user[:-1]) | (page[1:] != page[:-1])])
    return order[first]


def _blocks(
    requests: Requests,
    chosen: NDArray[np.int64],
    size: NDArray[np.int64],
    *,
    together: int,
    rng: np.random.Generator | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the `chosen` rows (c,) in order of blocks, and the block of each (c,).

    A block has up to `together` requests of one user whose recurrences start at the same behaviour. `rng` draws which
    requests share a block, because neighbours are much alike.
    """
    within = size[chosen] if rng is None else rng.random(len(chosen))
    rows = chosen[np.lexsort((within, requests.exposures_start[chosen], requests.user[chosen]))]
    user, start = requests.user[rows], requests.exposures_start[rows]
    new = np.concatenate([[True], (user[1:] != user[:-1]) | (start[1:] != start[:-1])])
    group = np.cumsum(new) - 1
    cut = (np.arange(len(rows)) - np.flatnonzero(new)[group]) // together
    fresh = np.concatenate([[True], (group[1:] != group[:-1]) | (cut[1:] != cut[:-1])])
    return rows, np.cumsum(fresh) - 1


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield `items`, while another thread makes the next `AHEAD` of them."""
    ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(entry: tuple[Item | None, BaseException | None]) -> None:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:  # raised again where the items are read
            put((None, error))

    thread = threading.Thread(target=work, daemon=True, name="batches")
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
