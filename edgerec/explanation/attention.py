"""The attention weights of the device, read out of a run of its ranking model.

The ranking graph has no output with the weights, but MNN can show the results of its operations
(`Session.observe`). An operation is recognised by its numbers and not by its name, which the converter chooses: the
weights of a kind are the one matrix whose product with the stored values of this kind is the result of another
operation. The graph then divides this product, by the sum of the weights (CRBAN) or by the root of the number of
behaviours (DIN). Both equations are checked with the numbers of this very request, so what is returned is what the
device computed. A model for which they do not hold has no weights here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.rank_feed import RankFeed
from edgerec.device_runtime.scoring import RankArguments
from edgerec.features.behaviours import BehaviourKind

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

TOLERANCE = 1e-5
"""The largest allowed difference between both sides of an equation, relative to the largest number. Both sides are
sums of at most 1000 products in float32."""


@dataclass(frozen=True)
class AttentionRows:
    """The attention of c candidates over t behaviours of one kind.

    Attributes:
        weights: (c, t). With `normalised`, each row sums to 1. Without (DIN), a weight can have any size and sign.
        normalised: whether the model divides the weights by their sum.
        max_abs: the largest difference between weights times values and the numbers of the device, relative to the
            largest of these numbers.
    """

    weights: Floats
    normalised: bool
    max_abs: float


def read_attention(model: DeviceModel, arguments: RankArguments) -> dict[BehaviourKind, AttentionRows | None]:
    """Run the ranking model once, and return the attention over each kind that it reads.

    A kind has None if there is no behaviour, or if the model computes something else than a weighted sum of values.

    Raises:
        SessionError: the run fails.
    """
    session = model.ranker.session
    inputs = {name: np.zeros(shape, np.float32) for name, shape in session.inputs.items()}
    feed = RankFeed(inputs)
    feed.write(arguments.candidates, arguments.encodings, arguments.ids)
    observed = [array.astype(np.float64) for array in session.observe(**inputs).values() if array.ndim == 2]
    found = {}
    for kind, one in feed.kinds.items():
        count = len(arguments.encodings[kind].keys)
        rows = _find(observed, one.values.astype(np.float64), one.mask.astype(np.float64)) if count else None
        if rows is not None:
            rows = AttentionRows(rows.weights[: len(arguments.candidates), :count], rows.normalised, rows.max_abs)
        found[kind] = rows
    return found


def _find(observed: Iterable[Floats], values: Floats, mask: Floats) -> AttentionRows | None:
    """Return the weights of all rows of the graph, padding included, or None.

    Args:
        observed: the matrices that the operations returned.
        values: (limit, h), the stored values; zeros in padding.
        mask: (limit, 1), 1 for a behaviour.
    """
    matrices = list(observed)
    for weights in matrices:
        if weights.shape[1] != len(values):
            continue
        product = weights @ values
        if _difference(product, matrices) is None:
            continue
        for normalised, divisor in ((True, weights @ mask), (False, np.sqrt(mask.sum()).reshape(1, 1))):
            if not (divisor > 0).all():
                continue
            difference = _difference(product / divisor, matrices)
            if difference is not None:
                return AttentionRows(weights * mask.T / divisor, normalised, difference)
    return None


def _difference(expected: Floats, matrices: Iterable[Floats]) -> float | None:
    """Return the difference to the matrix that equals `expected`, relative to the largest number, or None."""
    largest = float(np.abs(expected).max())
    if not largest:
        return None
    differences = [float(np.abs(one - expected).max()) / largest for one in matrices if one.shape == expected.shape]
    return min((one for one in differences if one <= TOLERANCE), default=None)
