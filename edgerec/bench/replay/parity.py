"""Compare the scores of devices with those of Keras on the samples of the same logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import ParityError
from edgerec.data.samples import TEST, Samples
from edgerec.model.request_logits import request_logits
from edgerec.model.reranker import Reranker

Array = NDArray[np.float32]

TOLERANCE = 1e-4
"""The largest allowed difference of logits. Both compute in float32, in another order of additions."""


@dataclass(frozen=True)
class ReplayParity:
    """The result of the comparison.

    Attributes:
        requests: number of requests.
        max_abs: largest absolute difference of a logit.
        orders_equal: number of requests whose order is the same.
        orders_tied: number of further requests that differ only in the order of candidates whose logits differ by less
            than twice `max_abs`.
        orders_different: number of all other requests.
    """

    requests: int
    max_abs: float
    orders_equal: int
    orders_tied: int
    orders_different: int


def compare_scores(model: Reranker, samples: Samples, scores: Mapping[int, Array]) -> ReplayParity:
    """Compare scores (c,) by request ID with the logits of Keras.

    Raises:
        ParityError: a request is not in the samples, or has another number of candidates there.
    """
    logits = dict(request_logits(model, samples, TEST, np.fromiter(scores, np.int64)))
    absent = scores.keys() - logits.keys()
    if absent:
        raise ParityError(
            f"replay: request {min(absent)} was replayed, but the samples do not have it ({len(absent)} requests)"
        )
    worst = 0.0
    for request, given in scores.items():
        if given.shape != logits[request].shape:
            raise ParityError(
                f"replay: request {request} has {len(logits[request])} candidates in the samples, and {len(given)} "
                "scores of the device"
            )
        worst = max(worst, float(np.abs(given.astype(np.float64) - logits[request]).max()))
    equal = tied = 0
    for request, given in scores.items():
        order, expected = (np.argsort(-each, kind="stable") for each in (given, logits[request]))
        if (order == expected).all():
            equal += 1
        elif _descends(logits[request][order], within=2 * worst):
            tied += 1
    return ReplayParity(len(scores), worst, equal, tied, len(scores) - equal - tied)


def _descends(logits: Array, *, within: float) -> bool:
    """Return whether no logit is above an earlier one by more than `within`."""
    largest_later = np.maximum.accumulate(logits[::-1])[::-1]
    return bool((largest_later - logits <= within).all())
