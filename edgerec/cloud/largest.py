"""The places of the largest numbers of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def largest(values: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Return the places of the `count` largest of `values` (n,), in ascending order of the place.

    Of equal values, those with the smallest places are returned. This takes a time in proportion to n.
    """
    if len(values) <= count:
        return np.arange(len(values))
    least = np.partition(values, len(values) - count)[len(values) - count]
    chosen = values > least
    chosen[np.flatnonzero(values == least)[: count - np.count_nonzero(chosen)]] = True
    return np.flatnonzero(chosen)
