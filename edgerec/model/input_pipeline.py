"""The input pipeline: it selects the requests of each batch, orders them, and prepares batches in advance.

Requests of one user read mostly the same behaviours, and a batch contains these only once. So an epoch puts a few
requests of a user into the same batch.

The requests of one page have labels in common, because an exposure on the page is a label of every earlier request of
the page. So an epoch of training reads only one request of each page, at random. The next epoch may read another one,
which has other candidates and other behaviours.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Requests, Samples, Shard, join_shards
from edgerec.model.batches import Batch, Shapes, make_batch

WINDOW = 64
"""Number of batches whose requests are sorted by length together. With more, the sequences of a batch have more similar
lengths; with fewer, the batches are more random."""
MIX = 65_536
"""Minimum number of requests from which batches are drawn. Shards are joined until they have this many requests."""
AHEAD = 4
"""Number of batches that are prepared in advance."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shuffling:
    """How an epoch of training is shuffled.

    Attributes:
        rng: random generator that shuffles the batches.
        candidates: also shuffle the candidates within each list.
        one_per_page: read only one random request of each page.
    """

    rng: np.random.Generator
    candidates: bool = False
    one_per_page: bool = False


def groups(samples: Samples, split: str, *, rng: np.random.Generator | None = None) -> Iterator[Shard]:
    """Yield all requests of a split once, in groups of at least `MIX` requests; the last group may be smaller.

    `rng` shuffles the shards. Without it they keep the order in which they are stored.
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
    together: int = 8,
    part: tuple[int, int] = (0, 1),
    shuffling: Shuffling | None = None,
) -> Iterator[Batch]:
    """Yield the batches of one epoch: all requests of a split once.

    With `shuffling` the batches are shuffled, for training. Without it they are sorted by length, for evaluation. Only
    one group of shards is in memory at a time, and only its requests are mixed.

    Args:
        samples: the samples.
        split: the split to read.
        batch_size: number of requests in a batch.
        together: largest number of requests of one user that follow each other.
        part: (i, n) divides each batch into n parts and yields only part i, counted from 0. It is for worker i of n.
        shuffling: how to shuffle, or None.
    """
    rng = None if shuffling is None else shuffling.rng
    before, (index, parts) = 0, part
    shapes = Shapes(-(-batch_size // parts), samples.head.limits)
    for shard in groups(samples, split, rng=rng):
        chosen = one_per_page_of(shard.requests, shuffling.rng) if shuffling and shuffling.one_per_page else None
        for rows in shard_batches(shard.requests, chosen, batch_size=batch_size, rng=rng, together=together):
            # Each worker spawns a generator for each batch, so that the generators of all workers stay equal.
            shuffle = shuffling.rng.spawn(1)[0] if shuffling and shuffling.candidates else None
            own = rows[len(rows) * index // parts : len(rows) * (index + 1) // parts]
            batch = make_batch(shard, own, shuffle=shuffle, shapes=shapes)
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

    Each of the `chosen` (c,) rows of a shard is yielded once; default: all rows. Requests of similar length share a
    batch, so that little is computed for padding.
    """
    chosen = np.arange(len(requests)) if chosen is None else chosen
    if not len(chosen):
        return
    sizes = _sizes(requests)
    rows, block = _blocks(requests, chosen, sizes[1], together=together, rng=rng)
    count = int(block.max(initial=-1)) + 1
    position = np.arange(count) if rng is None else rng.permutation(count)
    # With `rng`, this shuffles the blocks.
    order = np.argsort(position[block], kind="stable")
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
        # Sort by the first length, divide the requests into parts of about sqrt(number of batches) batches, and sort
        # each part by the second length. Both lengths are then similar within a batch.
        part = max(int(np.sqrt(len(window) / batch_size)), 1) * batch_size
        for begin in range(0, len(window), part):
            chunk = window[begin : begin + part]
            chunk = rows[chunk[np.argsort(second[chunk], kind="stable")]]
            batches += [chunk[low : low + batch_size] for low in range(0, len(chunk), batch_size)]
    numbers = range(len(batches)) if rng is None else rng.permutation(len(batches))
    for number in numbers:
        yield batches[number]


def _sizes(requests: Requests) -> list[NDArray[np.int64]]:
    """Return two lengths of each request: its number of exposed candidates and of behaviours. Shapes (r,)."""
    shown = np.add.reduceat((requests.label != NOT_EXPOSED).astype(np.int64), requests.offsets[:-1])
    behaviours = np.diff(requests.exposures)[:, 0] + np.diff(requests.page_views)[:, 0]
    return [shown, behaviours]


def one_per_page_of(requests: Requests, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the row of one random request of each page. Shape (pages,)."""
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
    """Group the `chosen` rows into blocks. Return the rows in order of blocks, and the block of each row. Shapes (c,).

    A block has up to `together` requests of one user whose recurrences start at the same behaviour. With `rng`, these
    requests are assigned to blocks at random, because consecutive requests are very similar.
    """
    within = size[chosen] if rng is None else rng.random(len(chosen))
    rows = chosen[np.lexsort((within, requests.exposures_start[chosen], requests.user[chosen]))]
    user, start = requests.user[rows], requests.exposures_start[rows]
    new = np.concatenate([[True], (user[1:] != user[:-1]) | (start[1:] != start[:-1])])
    group = np.cumsum(new) - 1
    part = (np.arange(len(rows)) - np.flatnonzero(new)[group]) // together
    new_block = np.concatenate([[True], (group[1:] != group[:-1]) | (part[1:] != part[:-1])])
    return rows, np.cumsum(new_block) - 1


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield `items`, while another thread prepares the next `AHEAD` of them."""
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
        except BaseException as error:  # The thread that reads the items raises it again.
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
