"""Batches: right-padded gathers from shards, a few of which are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Behaviours, Samples, Shard, join_shards
from edgerec.features.encoder import Encoded

WINDOW = 16
"""Batches whose requests are sorted by list length together: enough that a batch's lists are of nearly one length,
few enough that batches stay mixed."""
MIX = 65_536
"""Requests that are in memory together, at least: batches are drawn from them, and shards are joined until it is so."""


@dataclass(frozen=True)
class Batch:
    """Requests of a batch, as the models read them.

    Attributes:
        inputs: what `Reranker` takes: nested dictionary of arrays, right-padded to the longest of the batch.
        label: (batch, k) float32, 0 or 1.
        weight: (batch, k) float32, 1 where a label counts (exposed), else 0.
        rows: (batch,) int64, the requests' places in their shard; in an epoch, in the order in which it reads them.
    """

    inputs: dict[str, Any]
    label: NDArray[np.float32]
    weight: NDArray[np.float32]
    rows: NDArray[np.int64]


def make_batch(shard: Shard, rows: NDArray[np.int64], *, shuffle: np.random.Generator | None = None) -> Batch:
    """The requests `rows` (batch,) of a shard as one batch; `shuffle` draws the candidates' order anew."""
    requests = shard.requests
    begin, end = requests.offsets[rows], requests.offsets[rows + 1]
    index, valid = _ranges(begin, end)
    if shuffle is not None:
        # Padding sorts behind every candidate, so that each list stays whole and right-padded.
        order = np.argsort(np.where(valid, shuffle.random(index.shape), 2.0), axis=1)
        index = np.take_along_axis(index, order, axis=1)
    label = requests.label[index]
    counts = valid & (label != NOT_EXPOSED)
    return Batch(
        inputs={
            "candidates": _gather(requests.item, index),
            "candidate_length": valid.sum(axis=1, dtype=np.int32),
            "exposures": _behaviours(shard.exposures, requests.exposures[rows]),
            "page_views": _behaviours(shard.page_views, requests.page_views[rows]),
        },
        label=(counts & (label == 1)).astype(np.float32),
        weight=counts.astype(np.float32),
        rows=rows,
    )


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
) -> Iterator[Batch]:
    """All requests of a split once: shuffled by `rng` for training, without it by length, for evaluation.

    Shards are mixed a group at a time, which is all that memory holds.
    """
    before = 0
    for shard in groups(samples, split, rng=rng):
        for batch in shard_batches(shard, batch_size=batch_size, rng=rng, shuffle_candidates=shuffle_candidates):
            yield replace(batch, rows=batch.rows + before)
        before += len(shard.requests)


def shard_batches(
    shard: Shard,
    *,
    batch_size: int,
    rng: np.random.Generator | None = None,
    shuffle_candidates: bool = False,
) -> Iterator[Batch]:
    """All requests of a shard once, as `epoch` has those of a split.

    Lists of like length share a batch, so that little is computed for padding. With `shuffle_candidates`, `rng` draws
    the order within each list, too.
    """
    requests = shard.requests
    rows = np.arange(len(requests)) if rng is None else rng.permutation(len(requests))
    lengths = requests.lengths
    stride = len(rows) if rng is None else WINDOW * batch_size
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(rows), max(stride, 1)):
        window = rows[start : start + stride]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[at : at + batch_size] for at in range(0, len(window), batch_size)]
    order = range(len(batches)) if rng is None else rng.permutation(len(batches))
    for number in order:
        yield make_batch(shard, batches[number], shuffle=rng if shuffle_candidates else None)


def _ranges(begin: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Right-padded indices (batch, longest) and which of them are valid; padding points at row 0."""
    # At least two steps: a recurrence over none has no shape to give, and a softmax over one is taken for a mistake.
    longest = max(int((end - begin).max(initial=0)), 2)
    index = begin[:, None] + np.arange(longest)
    valid = index < end[:, None]
    return np.where(valid, index, 0), valid


def _behaviours(behaviours: Behaviours, ranges: NDArray[np.int64]) -> dict[str, Any]:
    index, valid = _ranges(ranges[:, 0], ranges[:, 1])
    return {
        "action": _gather(behaviours.action, index),
        "item": _gather(behaviours.item, index),
        "length": valid.sum(axis=1, dtype=np.int32),
    }


def _gather(encoded: Encoded, index: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    fields: dict[str, NDArray[Any]] = {"ids": encoded.ids, "codes": encoded.codes, "numbers": encoded.numbers}
    if not len(encoded):
        return {name: np.zeros((*index.shape, array.shape[1]), array.dtype) for name, array in fields.items()}
    return {name: np.asarray(array[index]) for name, array in fields.items()}
