"""The logits of all candidates of chosen requests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgerec.core.console import progress
from edgerec.data.samples import Samples
from edgerec.model.batches import make_batch
from edgerec.model.evaluation import traced
from edgerec.model.reranker import Reranker

BATCH = 100


def request_logits(
    model: Reranker, samples: Samples, split: str, wanted: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the ID and the logits (c,) of each request of a split whose ID is in `wanted`, in served order."""
    function = traced(model)
    for number in progress(range(len(samples.head.shards)), what="Keras", total=len(samples.head.shards)):
        shard = samples.shard(number, split)
        rows = np.flatnonzero(np.isin(shard.requests.request_id, wanted))
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            expected = function(make_batch(shard, part).inputs).numpy()
            for row, logits in zip(part, expected, strict=True):
                yield int(shard.requests.request_id[row]), logits[: shard.requests.lengths[row]]
