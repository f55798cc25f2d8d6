"""Vocabularies: the IDs that have a row of their own in an embedding table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError

MISSING_ID = int(np.iinfo(np.int64).min)
"""The number that stands for a missing ID in an integer column. No vocabulary contains it."""
STRING_IDS = 'docs/your-logs.md, "IDs", says how strings become integers'
"""Advice for error texts about IDs that are strings."""


@dataclass(frozen=True)
class Vocabulary:
    """Sorted IDs. The ID ``keys[i]`` has row ``i + 1``; row 0 is for all IDs that are not in the vocabulary.

    Attributes:
        keys: (n,) int64, strictly ascending.
    """

    keys: NDArray[np.int64]

    def __post_init__(self) -> None:
        keys = self.keys
        if not isinstance(keys, np.ndarray):
            raise FormatError(f"a vocabulary should be an array of int64 keys (n,); received {type(keys).__name__}")
        if keys.ndim != 1 or keys.dtype != np.int64 or (len(keys) > 1 and not bool((keys[1:] > keys[:-1]).all())):
            raise FormatError(
                f"a vocabulary should be strictly ascending int64 keys (n,); received {keys.dtype} {keys.shape}"
            )
        if len(keys) and keys[0] == MISSING_ID:
            raise FormatError(f"a vocabulary should not contain {MISSING_ID}, which stands for a missing ID")

    @property
    def rows(self) -> int:
        """The number of rows of the embedding table, including the row for unknown IDs."""
        return len(self.keys) + 1

    def lookup(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the table row of each of `ids`, or 0 for an ID that is not in the vocabulary. Shape (n,)."""
        if not len(self.keys):
            return np.zeros(ids.shape, np.int32)
        indices = np.minimum(np.searchsorted(self.keys, ids), len(self.keys) - 1)
        return np.where(self.keys[indices] == ids, indices + 1, 0).astype(np.int32)

    @classmethod
    def fit(
        cls, ids: NDArray[np.int64], *, size: int, min_count: int, counts: NDArray[np.int64] | None = None
    ) -> Vocabulary:
        """Return a vocabulary of the most frequent IDs. Among equally frequent IDs, smaller ones are kept.

        Args:
            ids: (n,), the IDs as they occurred.
            size: the maximum number of IDs that are kept.
            min_count: an ID that occurred less often is not kept.
            counts: (n,), how often each entry of `ids` occurred. Default: once.
        """
        if counts is None:
            counts = np.ones(len(ids), np.int64)
        used = (ids != MISSING_ID) & (counts > 0)
        keys, indices = np.unique(ids[used], return_inverse=True)
        # These float64 sums are exact: they are far below 2^53.
        seen = np.bincount(indices, counts[used], len(keys))
        kept = np.flatnonzero(seen >= min_count)
        if len(kept) > size:
            kept = kept[np.argsort(-seen[kept], kind="stable")[:size]]
        return cls(np.sort(keys[kept].astype(np.int64)))
