"""What the trained model knows of each labelled exposure: its logit, and the numbers that a personal head reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Activations:
    """Labelled exposures of some users, sorted by user, then time of the page, page, time of the request and place.

    Attributes:
        user: (n,) the user.
        page_time: (n,) milliseconds since 1970, the time of the first request of the exposure's page.
        page: (n,) the page. The requests of a page label the same exposures.
        request: (n,) the request, numbered over all users.
        latest: (n,) whether no later request of the page has the item. An exposure trains a patch only there, so it is
            counted once.
        label: (n,) 0 or 1.
        logit: (n,) float64, the logit of the shared model.
        values: (n, hidden + candidate) float32, the last hidden layer of the ranker, then the candidate vector.
        hidden: width of the hidden layer.
    """

    user: Integers
    page_time: Integers
    page: Integers
    request: Integers
    latest: NDArray[np.bool_]
    label: NDArray[np.uint8]
    logit: NDArray[np.float64]
    values: NDArray[np.float32]
    hidden: int

    def __len__(self) -> int:
        return len(self.user)
