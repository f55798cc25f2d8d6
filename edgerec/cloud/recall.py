"""Recall: which items the feed offers to a user, and the score of the initial ranking."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Recall(Protocol):
    """Finds candidates for a user. Put your own recall behind these two methods.

    The server calls one method at a time, so an implementation needs no lock.
    """

    def candidates(
        self, user_id: int, count: int, exclude: Collection[int], time: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the IDs (n,) of at most `count` items, best first, and their scores (n,).

        Args:
            user_id: the user.
            count: number of items that the device wants.
            exclude: IDs of items that the device still holds. They must not be returned.
            time: the time of the request in milliseconds since 1970.

        Returns:
            The IDs, each once, and the scores of the initial ranking. Fewer than `count` items mean that there are no
            more at present.
        """
        ...

    def learn(self, events: pl.DataFrame) -> None:
        """Update the recall with behaviours that became known.

        Args:
            events: rows of `events` with the columns `user_id`, `time`, `kind` and `item_id`, in the order in which a
                user's behaviours happened. All items are in the catalogue.
        """
        ...
