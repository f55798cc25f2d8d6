"""Batches: what the models read of some requests of a shard.

Requests of one user read the same behaviours. If their recurrences start at one behaviour (`Requests`), the batch
has the slice of behaviours from there on once, for all requests that read it. So HUBSM computes it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Requests, Shard
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.encoder import Encoded

MS_PER_HOUR = 3_600_000.0


@dataclass(frozen=True)
class Batch:
    """Requests of a batch, as the models read them.

    Attributes:
        inputs: what `Reranker` takes: a nested dictionary of right-padded arrays. For each kind of behaviour it has
            `action`, `item` and `row` (in the catalogue) of slices of behaviours, (slices, steps, ...). For each
            request it has the steps that the request reads (`index` (batch, time), into slices and steps as one axis),
            their number (`length`), and how many hours ago they were (`age`).
        label: (batch, s) float32, 0 or 1, of the candidates that are scored: all, or those that were exposed.
            `inputs["scored"]` (batch, s) has their indices in the list.
        weight: (batch, s) float32, 1 where a label counts (exposed), else 0.
        rows: (requests,) int64, the rows of the requests in their shard; in an epoch, counted over all its shards.
            A batch of fixed size has empty requests after them, whose weights are 0.
        users: (requests,) int64, the users who asked.
    """

    inputs: dict[str, Any]
    label: NDArray[np.float32]
    weight: NDArray[np.float32]
    rows: NDArray[np.int64]
    users: NDArray[np.int64]


@dataclass(frozen=True)
class Shapes:
    """Rounds sizes up. So there are few different shapes, and each is compiled once.

    Attributes:
        batch_size: number of requests in every batch.
        limits: no sequence is padded beyond them.
    """

    batch_size: int
    limits: Limits

    def candidates(self, longest: int) -> int:
        """Return the padded length of lists of candidates of which the longest has `longest`."""
        step = 4 if longest <= 16 else 8 if longest <= 64 else 32
        return min(-(-longest // step) * step, max(self.limits.candidates, longest))

    def time(self, longest: int, limit: int) -> int:
        """Return the padded length of sequences: at least `longest` and, if possible, at most `limit`."""
        step = 8 if longest <= 16 else 16 if longest <= 64 else 32
        rounded = -(-longest // step) * step
        return max(limit if rounded > 0.9 * limit else rounded, longest)

    def slices(self, count: int) -> int:
        """Return the padded number of slices."""
        power = 1 << max(count - 1, 7).bit_length()
        return power if count > power * 3 // 4 else max(power * 3 // 4, 8)


def make_batch(
    shard: Shard,
    rows: NDArray[np.int64],
    *,
    shuffle: np.random.Generator | None = None,
    shapes: Shapes | None = None,
) -> Batch:
    """Make one batch of the requests `rows` (batch,) of a shard.

    Args:
        shard: the shard.
        rows: its requests to read.
        shuffle: draws a new order of the candidates.
        shapes: the shapes for a training or an evaluation, which scores only the candidates that were exposed and so
            have a label. Default: the smallest shapes, and all candidates are scored.
    """
    requests = shard.requests
    begin, end = requests.offsets[rows], requests.offsets[rows + 1]
    size = len(rows) if shapes is None else shapes.batch_size
    longest = int((end - begin).max(initial=0))
    if shapes is not None:
        longest = shapes.candidates(longest)
    index, valid = _ranges(begin, end, longest)
    if shuffle is not None:
        # Padding sorts after every candidate, so each list stays complete and right-padded.
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
            **{kind.plural: _behaviours(shard, kind, rows, size=size, shapes=shapes) for kind in BEHAVIOUR_KINDS},
        },
        label=_grown((counts & (label == 1)).astype(np.float32), size),
        weight=_grown(counts.astype(np.float32), size),
        rows=rows,
        users=requests.user[rows],
    )


def _scored(
    shown: NDArray[np.bool_], valid: NDArray[np.bool_], shapes: Shapes | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indices (batch, s) of the candidates to score (all, or the exposed ones), and which have a label."""
    if shapes is None:
        return np.broadcast_to(np.arange(valid.shape[1]), valid.shape), shown
    most = shapes.time(max(int(shown.sum(axis=1).max(initial=0)), 2), valid.shape[1])
    # The exposed ones come first, in their order.
    index = np.argsort(~shown, axis=1, kind="stable")[:, :most]
    return index, np.take_along_axis(shown, index, axis=1)


def _ranges(
    begin: NDArray[np.int64], end: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return right-padded indices (batch, longest), and which of them are valid. Padding points at row 0."""
    # At least two steps: a recurrence over none has no shape to give, and a softmax over one is taken for a mistake.
    index = begin[:, None] + np.arange(max(longest, 2))
    valid = index < end[:, None]
    return np.where(valid, index, 0), valid


def _behaviours(
    shard: Shard, kind: BehaviourKind, rows: NDArray[np.int64], *, size: int, shapes: Shapes | None
) -> dict[str, Any]:
    """Return the behaviours of one kind that the requests `rows` read."""
    requests: Requests = shard.requests
    behaviours = getattr(shard, kind.plural)
    begin, end = getattr(requests, kind.plural)[rows].T
    start = getattr(requests, f"{kind.plural}_start")[rows]
    known = end > begin
    # A request without behaviours gets the first slice, and reads none of it.
    first, which = np.unique(start[known], return_inverse=True)
    last = np.zeros(max(len(first), 1), np.int64)
    np.maximum.at(last, which, end[known])
    first = first if len(first) else np.zeros(1, np.int64)
    of_slice = np.zeros(len(rows), np.int64)
    of_slice[known] = which
    steps, longest = int((last - first).max(initial=0)), int((end - begin).max(initial=0))
    count = len(first)
    if shapes is not None:
        limit = shapes.limits.of(kind)
        steps, longest = shapes.time(steps, 2 * limit - 1), shapes.time(longest, limit)
        count = shapes.slices(count)
    gathered, _ = _ranges(first, last, steps)
    window, valid = _ranges(begin, end, longest)
    place = (of_slice * gathered.shape[1] - first[of_slice])[:, None] + window
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
    """Append rows of zeros to `array` until it has `size` rows."""
    if len(array) >= size:
        return array
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])


def _gather(encoded: Encoded, index: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    fields: dict[str, NDArray[Any]] = {"ids": encoded.ids, "codes": encoded.codes, "numbers": encoded.numbers}
    if not len(encoded):
        return {name: np.zeros((*index.shape, array.shape[1]), array.dtype) for name, array in fields.items()}
    return {name: np.asarray(array[index]) for name, array in fields.items()}
