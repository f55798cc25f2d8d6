"""Where recurrences start: the one rule that samples and devices share.

Every behaviour of a kind has an ordinal within its store: 0 for the first one, then 1, and so on. A recurrence starts
with a state of zeros at every ordinal that is a multiple of the limit. So the rule depends only on ordinals: deleted
behaviours and lost rows of the logs do not shift it.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ordinal = TypeVar("Ordinal", int, NDArray[np.int64])


def window_start(end: Ordinal, limit: int) -> Ordinal:
    """Return the first ordinal of the window of a request: the latest `limit` ordinals.

    Args:
        end: the ordinal after the latest behaviour that the request knows.
        limit: the largest number of behaviours that the ranker reads.
    """
    return (end - limit) * (end > limit)


def recurrence_start(window: Ordinal, limit: int) -> Ordinal:
    """Return the ordinal at which the recurrence of a window starts. `window` is the first ordinal of the window."""
    return window - window % limit
