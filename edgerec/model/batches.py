"""Batches: right-padded gathers from memory-mapped samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Behaviours, Requests, Samples
from edgerec.features.encoder import Encoded

WINDOW = 16
"""Batches whose requests are sorted by list length together: enough that a batch's lists are of nearly one length,
few enough that batches stay mixed."""


@dataclass(frozen=True)
class Batch:
    """Requests of a batch, as the models read them.

    Attributes:
        inputs: what `Reranker` takes: nested dictionary of arrays, right-padded to the longest of the batch.
        label: (batch, k) float32, 0 or 1.
        weight: (batch, k) float32, 1 where a label counts (exposed), else 0.
        rows: (batch,) int64, the requests' places in their split.
    """

    inputs: dict[str, Any]
    label: NDArray[np.float32]
    weight: NDArray[np.float32]
    rows: NDArray[np.int64]


def make_batch(
    samples: Samples, requests: Requests, rows: NDArray[np.int64], *, shuffle: np.random.Generator | None = None
) -> Batch:
    """The requests `rows` (batch,) of a split as one batch; `shuffle` draws the candidates' order anew."""
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
            "exposures": _behaviours(samples.exposures, requests.exposures[rows]),
            "page_views": _behaviours(samples.page_views, requests.page_views[rows]),
        },
        label=(counts & (label == 1)).astype(np.float32),
        weight=counts.astype(np.float32),
        rows=rows,
    )


def epoch(
    samples: Samples,
    requests: Requests,
    *,
    batch_size: int,
    rng: np.random.Generator | None = None,
    shuffle_candidates: bool = False,
) -> Iterator[Batch]:
    """All requests of a split once: shuffled by `rng` for training, without it by length, for evaluation.

    Lists of like length share a batch, so that little is computed for padding. With `shuffle_candidates`, `rng` draws
    the order within each list, too.
    """
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
        yield make_batch(samples, requests, batches[number], shuffle=rng if shuffle_candidates else None)


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
