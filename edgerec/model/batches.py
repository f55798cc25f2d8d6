"""Batches: the arrays that the models read for some requests of a shard.

Requests of one user read mostly the same behaviours. Requests whose recurrences start at the same behaviour (see
`Requests`) share one segment of behaviours in the batch. HUBSM encodes each segment once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Shard
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.encoder import Encoded

MS_PER_HOUR = 3_600_000.0


@dataclass(frozen=True)
class Batch:
    """The requests of a batch, in the form that the models read.

    Attributes:
        inputs: the inputs of `Reranker`, a nested dictionary of arrays that are padded on the right. For each kind of
            behaviour, `action`, `item` and `row` (the item's row in the catalogue) have segments of behaviours; their
            shapes are (segments, steps, ...). `index` (batch, time) selects the steps that each request reads. It
            counts the steps of all segments one after the other. `length` (batch,) is the number of these steps, and
            `age` (batch, time) is their age in hours.
        label: (batch, s) float32, 1 if the scored candidate was clicked, else 0. Either all candidates are scored or
            only the exposed ones. `inputs["scored"]` (batch, s) has their positions in the list.
        weight: (batch, s) float32, 1 if the candidate was exposed, so that its label counts, else 0.
        rows: (requests,) int64, the rows of the requests in their shard. The batches of `epoch` count rows over all
            shards. A batch of fixed size also has empty requests at its end. They are not in `rows`, and their weights
            are 0.
        users: (requests,) int64, the users of the requests.
    """

    inputs: dict[str, Any]
    label: NDArray[np.float32]
    weight: NDArray[np.float32]
    rows: NDArray[np.int64]
    users: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths from which the shapes of all arrays follow. XLA compiles its kernels for each new one."""
        behaviours = (self.inputs[kind.plural] for kind in BEHAVIOUR_KINDS)
        lengths = (length for each in behaviours for length in (*each["row"].shape, each["index"].shape[1]))
        return (*self.label.shape, self.inputs["candidate_row"].shape[1], *lengths)


@dataclass(frozen=True)
class Shapes:
    """Rounds sizes up, so that batches have only a few different shapes. XLA compiles a program for each shape.

    Attributes:
        batch_size: number of requests in every batch.
        limits: the largest lengths of sequences after padding.
    """

    batch_size: int
    limits: Limits

    def candidates(self, longest: int) -> int:
        """Return the length to which lists of candidates are padded. The longest list has the length `longest`."""
        step = 4 if longest <= 16 else 8 if longest <= 64 else 32
        return min(-(-longest // step) * step, max(self.limits.candidates, longest))

    def time(self, longest: int, limit: int) -> int:
        """Return the length to which sequences are padded: at least `longest` and, if possible, at most `limit`."""
        step = 8 if longest <= 16 else 16 if longest <= 64 else 32
        rounded = -(-longest // step) * step
        return max(limit if rounded > 0.9 * limit else rounded, longest)

    def segments(self, count: int) -> int:
        """Return the number of segments after padding, which is at least `count`."""
        power = 1 << max(count - 1, 7).bit_length()
        return power if count > power * 3 // 4 else max(power * 3 // 4, 8)


def make_batch(
    shard: Shard,
    rows: NDArray[np.int64],
    *,
    shuffle: np.random.Generator | None = None,
    shapes: Shapes | None = None,
) -> Batch:
    """Return one batch with the requests `rows` (batch,) of a shard.

    Args:
        shard: the shard.
        rows: the requests of the shard to read.
        shuffle: random generator that shuffles the candidates of each list; default: served order.
        shapes: rounding of the shapes, for training and evaluation. Then only exposed candidates are scored, because
            only these have a label. Default: the smallest shapes, and all candidates are scored.
    """
    requests = shard.requests
    begin, end = requests.offsets[rows], requests.offsets[rows + 1]
    size = len(rows) if shapes is None else shapes.batch_size
    longest = int((end - begin).max(initial=0))
    if shapes is not None:
        longest = shapes.candidates(longest)
    index, valid = _ranges(begin, end, longest)
    if shuffle is not None:
        # Sort by random keys below 1. The key of padding is 2, so padding stays at the right end.
        order = np.argsort(np.where(valid, shuffle.random(index.shape), 2.0), axis=1)
        index = np.take_along_axis(index, order, axis=1)
    scored, counts = _scored(valid & (requests.label[index] != NOT_EXPOSED), valid, shapes)
    label = np.take_along_axis(requests.label[index], scored, axis=1)
    return Batch(
        inputs={
            "candidates": {name: _padded(array, size) for name, array in _gather(requests.item, index).items()},
            "relations": {name: _padded(array, size) for name, array in _gather(requests.relations, index).items()},
            "context": {name: _padded(array, size) for name, array in _gather(requests.context, rows).items()},
            "candidate_row": _padded(requests.row[index], size),
            "scored": _padded(scored.astype(np.int32), size),
            # An empty request has the length 1 and reads row 0, because no list may be empty.
            "candidate_length": np.maximum(_padded(valid.sum(axis=1, dtype=np.int32), size), 1),
            **{kind.plural: _behaviours(shard, kind, rows, size=size, shapes=shapes) for kind in BEHAVIOUR_KINDS},
        },
        label=_padded((counts & (label == 1)).astype(np.float32), size),
        weight=_padded(counts.astype(np.float32), size),
        rows=rows,
        users=requests.user[rows],
    )


def _scored(
    shown: NDArray[np.bool_], valid: NDArray[np.bool_], shapes: Shapes | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the positions of the candidates to score, and a mask of those that have a label. Shapes (batch, s).

    With `shapes` only the exposed candidates (`shown`) are scored, else all.
    """
    if shapes is None:
        return np.broadcast_to(np.arange(valid.shape[1]), valid.shape), shown
    most = shapes.time(max(int(shown.sum(axis=1).max(initial=0)), 2), valid.shape[1])
    # The exposed candidates come first, in served order.
    index = np.argsort(~shown, axis=1, kind="stable")[:, :most]
    return index, np.take_along_axis(shown, index, axis=1)


def _ranges(
    begin: NDArray[np.int64], end: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indices from `begin` to `end` of each row, padded with 0 on the right, and a mask of the valid ones.

    Both have the shape (batch, longest), or (batch, 2) if `longest` is smaller. A recurrence needs at least one step,
    and Keras warns of a softmax over one element.
    """
    index = begin[:, None] + np.arange(max(longest, 2))
    valid = index < end[:, None]
    return np.where(valid, index, 0), valid


def _behaviours(
    shard: Shard, kind: BehaviourKind, rows: NDArray[np.int64], *, size: int, shapes: Shapes | None
) -> dict[str, Any]:
    """Return the behaviours of one kind that the requests `rows` read."""
    requests = shard.requests
    behaviours = shard.behaviours(kind)
    begin, end = requests.known(kind)[rows].T
    start = requests.start(kind)[rows]
    known = end > begin
    # A request without behaviours points to the first segment, but its length is 0, so it reads no step.
    first, segment = np.unique(start[known], return_inverse=True)
    last = np.zeros(max(len(first), 1), np.int64)
    np.maximum.at(last, segment, end[known])
    first = first if len(first) else np.zeros(1, np.int64)
    of_request = np.zeros(len(rows), np.int64)
    of_request[known] = segment
    steps, longest = int((last - first).max(initial=0)), int((end - begin).max(initial=0))
    count = len(first)
    if shapes is not None:
        limit = shapes.limits.of(kind)
        steps, longest = shapes.time(steps, 2 * limit - 1), shapes.time(longest, limit)
        count = shapes.segments(count)
    gathered, _ = _ranges(first, last, steps)
    window, valid = _ranges(begin, end, longest)
    index = (of_request * gathered.shape[1] - first[of_request])[:, None] + window
    age = (requests.time[rows][:, None] - behaviours.time[window]) / MS_PER_HOUR if len(behaviours) else window * 0.0
    row = behaviours.row[gathered] if len(behaviours) else np.zeros(gathered.shape, np.int32)
    return {
        "action": {name: _padded(array, count) for name, array in _gather(behaviours.action, gathered).items()},
        "item": {name: _padded(array, count) for name, array in _gather(behaviours.item, gathered).items()},
        "row": _padded(row, count),
        "index": _padded(np.where(valid, index, 0).astype(np.int32), size),
        "age": _padded(np.where(valid, age, 0.0).astype(np.float32), size),
        "length": _padded(valid.sum(axis=1, dtype=np.int32), size),
    }


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Append rows of zeros to `array` until it has `size` rows."""
    if len(array) >= size:
        return array
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])


def _gather(encoded: Encoded, index: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    fields: dict[str, NDArray[Any]] = {"ids": encoded.ids, "codes": encoded.codes, "numbers": encoded.numbers}
    if not len(encoded):
        return {name: np.zeros((*index.shape, array.shape[1]), array.dtype) for name, array in fields.items()}
    return {name: np.asarray(array[index]) for name, array in fields.items()}
