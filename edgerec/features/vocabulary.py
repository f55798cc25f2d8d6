"""Vocabularies: which identities have a row of their own in an embedding table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerec.core.arrays import load_array, save_array
from edgerec.core.errors import FormatError

MISSING_ID = int(np.iinfo(np.int64).min)
"""Stands for "no identity" in an integer column; no vocabulary has it."""


@dataclass(frozen=True)
class Vocabulary:
    """Sorted identities; identity ``keys[i]`` has row ``i + 1``, and row 0 is for all others.

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
            raise FormatError(f"a vocabulary should not hold {MISSING_ID}, which stands for a missing identity")

    @property
    def rows(self) -> int:
        """Rows of the embedding table, the unknown row included."""
        return len(self.keys) + 1

    def lookup(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Rows (n,) of identities (n,); 0 where the vocabulary does not have them."""
        if not len(self.keys):
            return np.zeros(ids.shape, np.int32)
        places = np.minimum(np.searchsorted(self.keys, ids), len(self.keys) - 1)
        return np.where(self.keys[places] == ids, places + 1, 0).astype(np.int32)

    @classmethod
    def fit(
        cls, ids: NDArray[np.int64], *, size: int, min_count: int, counts: NDArray[np.int64] | None = None
    ) -> Vocabulary:
        """The most frequent identities; ties go to the smaller one.

        Args:
            ids: (n,) identities as they were seen.
            size: at most so many are kept.
            min_count: one that was seen less often is not.
            counts: (n,), how often each of `ids` stands there; default: once.
        """
        if counts is None:
            counts = np.ones(len(ids), np.int64)
        there = (ids != MISSING_ID) & (counts > 0)
        keys, places = np.unique(ids[there], return_inverse=True)
        # Exact: far below 2^53.
        seen = np.bincount(places, counts[there], len(keys))
        kept = np.flatnonzero(seen >= min_count)
        if len(kept) > size:
            kept = kept[np.argsort(-seen[kept], kind="stable")[:size]]
        return cls(np.sort(keys[kept].astype(np.int64)))


def save_vocabularies(vocabularies: dict[str, Vocabulary], folder: Path) -> None:
    """Write ``folder/<feature>.npy`` for each vocabulary.

    Raises:
        OutputError: one cannot be written.
    """
    folder.mkdir(exist_ok=True)
    for name, vocabulary in vocabularies.items():
        save_array(folder / f"{name}.npy", vocabulary.keys, what="vocabulary")


def load_vocabularies(sizes: Mapping[str, int], folder: Path) -> dict[str, Vocabulary]:
    """Read vocabularies from `folder`.

    Args:
        sizes: the most identities of each, by name of feature; `FeatureSpec.vocabulary_sizes` has them.
        folder: where they are.

    Raises:
        FormatError: a file is missing or holds no vocabulary, or a larger one.
    """
    found = {}
    for name, size in sizes.items():
        path = folder / f"{name}.npy"
        keys = load_array(path, what="vocabulary", advice="make its folder again")
        if isinstance(keys, np.ndarray) and keys.size > size:
            raise FormatError(f"vocabulary {path} should have at most {size} keys; received {keys.size}")
        try:
            found[name] = Vocabulary(keys)
        except FormatError as error:
            raise FormatError(f"vocabulary {path}: {error}") from None
    return found
