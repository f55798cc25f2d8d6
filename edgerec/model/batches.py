"""Batches: gathers from shards, a few of which are in memory at a time.

Requests of one user look back on the same behaviours. Where their recurrences start at one place (`Requests`), a batch
has the stretch of behaviours from there on once, however many of its requests read it: what HUBSM computes is computed
once, too. So that there is something to share, an epoch keeps a few requests of a user together.

Requests of one page share labels: the later ones label again what was exposed after them. So an epoch of a training
draws one of each page; another epoch draws another, with another list and other behaviours before the same labels.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Behaviours, Requests, Samples, Shard, join_shards
from edgerec.features.behaviours import Limits
from edgerec.features.encoder import Encoded

WINDOW = 64
"""Batches whose requests are sorted by length together: enough that a batch's sequences are of nearly one length, few
enough that batches stay mixed."""
MIX = 65_536
"""Requests that are in memory together, at least: batches are drawn from them, and shards are joined until it is so."""
AHEAD = 4
"""Batches that are made while one is at work."""
MS_PER_HOUR = 3_600_000.0

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """Requests of a batch, as the models read them.

    Attributes:
        inputs: what `Reranker` takes: nested dictionary of arrays, right-padded. Of each kind of behaviour, `action`,
            `item` and `row` (place in the catalogue) of whole stretches (stretches, steps, ...); and of each request,
            which steps of all these it reads (`index` (batch, time), into stretches and steps as one axis), how many
            (`length`), and how many hours ago they were (`age`).
        label: (batch, s) float32, 0 or 1, of the candidates that are scored: all, or those that were exposed.
            `inputs["scored"]` (batch, s) has their places in the list.
        weight: (batch, s) float32, 1 where a label counts (exposed), else 0.
        rows: (requests,) int64, the requests' places in their shard; in an epoch, in the order in which it reads them.
            Beyond them a batch of fixed size has empty requests, whose weights are 0.
        users: (requests,) int64, who asked.
    """

    inputs: dict[str, Any]
    label: NDArray[np.float32]
    weight: NDArray[np.float32]
    rows: NDArray[np.int64]
    users: NDArray[np.int64]


@dataclass(frozen=True)
class Shapes:
    """Rounds sizes up, so that few different shapes come and each is compiled once.

    Attributes:
        batch_size: requests of every batch.
        limits: no sequence is padded beyond them.
    """

    batch_size: int
    limits: Limits

    def candidates(self, longest: int) -> int:
        """As `time`, of lists of candidates."""
        step = 4 if longest <= 16 else 8 if longest <= 64 else 32
        return min(-(-longest // step) * step, max(self.limits.candidates, longest))

    def time(self, longest: int, limit: int) -> int:
        """A length of at least `longest` and, where that is allowed, at most `limit`."""
        step = 8 if longest <= 16 else 16 if longest <= 64 else 32
        rounded = -(-longest // step) * step
        return max(limit if rounded > 0.9 * limit else rounded, longest)

    def stretches(self, count: int) -> int:
        power = 1 << max(count - 1, 7).bit_length()
        return power if count > power * 3 // 4 else max(power * 3 // 4, 8)


def make_batch(
    shard: Shard,
    rows: NDArray[np.int64],
    *,
    shuffle: np.random.Generator | None = None,
    shapes: Shapes | None = None,
) -> Batch:
    """The requests `rows` (batch,) of a shard as one batch.

    Args:
        shard: where they are.
        rows: which of its requests.
        shuffle: draws the candidates' order anew.
        shapes: of the arrays of a training or an evaluation, in which candidates that were not exposed, and so have no
            label, are not scored; default: as small as they can be, and all are scored.
    """
    requests = shard.requests
    begin, end = requests.offsets[rows], requests.offsets[rows + 1]
    size = len(rows) if shapes is None else shapes.batch_size
    longest = int((end - begin).max(initial=0))
    if shapes is not None:
        longest = shapes.candidates(longest)
    index, valid = _ranges(begin, end, longest)
    if shuffle is not None:
        # Padding sorts behind every candidate, so that each list stays whole and right-padded.
        order = np.argsort(np.where(valid, shuffle.random(index.shape), 2.0), axis=1)
        index = np.take_along_axis(index, order, axis=1)
    scored, counts = _scored(valid & (requests.label[index] != NOT_EXPOSED), valid, shapes)
    label = np.take_along_axis(requests.label[index], scored, axis=1)
    return Batch(
        inputs={
            "candidates": {name: _grown(array, size) for name, array in _gather(requests.item, index).items()},
            "candidate_row": _grown(requests.row[index], size),
            "scored": _grown(scored.astype(np.int32), size),
            # An empty request has one candidate: the first row.
            "candidate_length": np.maximum(_grown(valid.sum(axis=1, dtype=np.int32), size), 1),
            "exposures": _behaviours(
                shard.exposures, requests, rows, requests.exposures, requests.exposures_start,
                size=size, shapes=shapes, limit=None if shapes is None else shapes.limits.exposures,
            ),
            "page_views": _behaviours(
                shard.page_views, requests, rows, requests.page_views, requests.page_views_start,
                size=size, shapes=shapes, limit=None if shapes is None else shapes.limits.page_views,
            ),
        },
        label=_grown((counts & (label == 1)).astype(np.float32), size),
        weight=_grown(counts.astype(np.float32), size),
        rows=rows,
        users=requests.user[rows],
    )  # fmt: skip


def groups(samples: Samples, split: str, *, rng: np.random.Generator | None = None) -> Iterator[Shard]:
    """All requests of a split once, group by group, each of at least `MIX` requests but for the last.

    `rng` draws the order of the shards; without it they come as they are stored.
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
    """All requests of a split once: shuffled by `rng` for training, without it by length, for evaluation.

    Shards are mixed a group at a time, which is all that memory holds.

    Args:
        samples: where they are.
        split: of them.
        batch_size: requests a batch.
        rng: draws batches.
        shuffle_candidates: draws the order within each list, too.
        one_per_page: of each page only one request, which `rng` draws.
        together: up to so many requests of a user follow each other.
        part: with (i, n), of each batch the i-th of n parts: the share of one of n workers.
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
    """Rows (batch,) of batches of `batch_size`, the last one of what is left.

    Each of the `chosen` (c,) rows of a shard comes once; default: all do. Requests of like length share a batch, so
    that little is computed for padding.
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
        # By the first length into as many parts as have as many batches each, those by the second.
        part = max(int(np.sqrt(len(window) / batch_size)), 1) * batch_size
        for at in range(0, len(window), part):
            chunk = window[at : at + part]
            chunk = rows[chunk[np.argsort(second[chunk], kind="stable")]]
            batches += [chunk[low : low + batch_size] for low in range(0, len(chunk), batch_size)]
    drawn = range(len(batches)) if rng is None else rng.permutation(len(batches))
    for number in drawn:
        yield batches[number]


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Pass `items` on, the next `AHEAD` of them made by another thread meanwhile."""
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
        except BaseException as error:  # handed to whoever reads
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


def _sizes(requests: Requests) -> list[NDArray[np.int64]]:
    """What a request costs, (r,) each: candidates that were exposed, and behaviours to attend to."""
    shown = np.add.reduceat((requests.label != NOT_EXPOSED).astype(np.int64), requests.offsets[:-1])
    behaviours = np.diff(requests.exposures)[:, 0] + np.diff(requests.page_views)[:, 0]
    return [shown, behaviours]


def one_per_page_of(requests: Requests, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows (pages,) of one request of each page."""
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
    """The `chosen` rows (c,) in order of blocks, and each one's block (c,): up to `together` that start alike.

    `rng` draws which of a user's, for neighbours are much alike.
    """
    within = size[chosen] if rng is None else rng.random(len(chosen))
    rows = chosen[np.lexsort((within, requests.exposures_start[chosen], requests.user[chosen]))]
    user, start = requests.user[rows], requests.exposures_start[rows]
    new = np.concatenate([[True], (user[1:] != user[:-1]) | (start[1:] != start[:-1])])
    group = np.cumsum(new) - 1
    cut = (np.arange(len(rows)) - np.flatnonzero(new)[group]) // together
    fresh = np.concatenate([[True], (group[1:] != group[:-1]) | (cut[1:] != cut[:-1])])
    return rows, np.cumsum(fresh) - 1


def _scored(
    shown: NDArray[np.bool_], valid: NDArray[np.bool_], shapes: Shapes | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Places (batch, s) of the candidates to score, and which of them have a label: of all, or of those exposed."""
    if shapes is None:
        return np.broadcast_to(np.arange(valid.shape[1]), valid.shape), shown
    most = shapes.time(max(int(shown.sum(axis=1).max(initial=0)), 2), valid.shape[1])
    # Exposed ones first, each in its order.
    places = np.argsort(~shown, axis=1, kind="stable")[:, :most]
    return places, np.take_along_axis(shown, places, axis=1)


def _ranges(
    begin: NDArray[np.int64], end: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Right-padded indices (batch, longest) and which of them are valid; padding points at row 0."""
    # At least two steps: a recurrence over none has no shape to give, and a softmax over one is taken for a mistake.
    index = begin[:, None] + np.arange(max(longest, 2))
    valid = index < end[:, None]
    return np.where(valid, index, 0), valid


def _behaviours(
    behaviours: Behaviours,
    requests: Requests,
    rows: NDArray[np.int64],
    ranges: NDArray[np.int64],
    starts: NDArray[np.int64],
    *,
    size: int,
    shapes: Shapes | None,
    limit: int | None,
) -> dict[str, Any]:
    begin, end, start = ranges[rows, 0], ranges[rows, 1], starts[rows]
    known = end > begin
    # A request that knows nothing starts nowhere; it joins the first stretch and reads none of it.
    first, which = np.unique(start[known], return_inverse=True)
    last = np.zeros(max(len(first), 1), np.int64)
    np.maximum.at(last, which, end[known])
    first = first if len(first) else np.zeros(1, np.int64)
    stretch = np.zeros(len(rows), np.int64)
    stretch[known] = which
    steps, longest = int((last - first).max(initial=0)), int((end - begin).max(initial=0))
    count = len(first)
    if shapes is not None and limit is not None:
        steps, longest = shapes.time(steps, 2 * limit - 1), shapes.time(longest, limit)
        count = shapes.stretches(count)
    gathered, _ = _ranges(first, last, steps)
    window, valid = _ranges(begin, end, longest)
    place = (stretch * gathered.shape[1] - first[stretch])[:, None] + window
    age = (requests.time[rows][:, None] - behaviours.time[window]) / MS_PER_HOUR if len(behaviours) else window * 0.0
    row = behaviours.row[gathered] if len(behaviours) else np.zeros(gathered.shape, np.int32)
    return {
        "action": {name: _grown(array, count) for name, array in _gather(behaviours.action, gathered).items()},
        "item": {name: _grown(array, count) for name, array in _gather(behaviours.item, gathered).items()},
        "row": _grown(row, count),
        "index": _grown(np.where(valid, place, 0).astype(np.int32), size),
        "age": _grown(np.where(valid, age, 0.0).astype(np.float32), size),
        "length": _grown(valid.sum(axis=1, dtype=np.int32), size),
    }


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    """`array` with as many rows of zeros behind it as make `size`."""
    if len(array) >= size:
        return array
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])


def _gather(encoded: Encoded, index: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    fields: dict[str, NDArray[Any]] = {"ids": encoded.ids, "codes": encoded.codes, "numbers": encoded.numbers}
    if not len(encoded):
        return {name: np.zeros((*index.shape, array.shape[1]), array.dtype) for name, array in fields.items()}
    return {name: np.asarray(array[index]) for name, array in fields.items()}
