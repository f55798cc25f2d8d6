"""Items as the cloud sends them to a device: raw values, and the embedding rows of one model version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN_KEY = -(2**63)
"""The key of an item whose key the table does not have. Its row is the table's row for unknown keys. No table has this
key, because it means "missing" in logs (`edgerec.features.vocabulary.MISSING_ID`)."""


@dataclass(frozen=True)
class EmbeddingColumn:
    """The embedding of one feature for n items. A row that several items share is sent once.

    Attributes:
        keys: (u,) int64, the different keys. `UNKNOWN_KEY` stands for every key that the table does not have.
        rows: (u, dimension) float32 or float16, the row of each key.
        index: (n,) int32, for each item the index of its key.
    """

    keys: NDArray[np.int64]
    rows: NDArray[Any]
    index: NDArray[np.int32]


@dataclass(frozen=True)
class ItemBatch:
    """n items in the order of a list.

    Attributes:
        version_id: the model version whose embedding rows these are; None if the device has no model.
        item_id: (n,) int64.
        columns: raw values by column, a list of n values for each. These are the source columns of item features
            without a table, and the columns that relations read. A missing value is None.
        embeddings: the embedding of each item feature with a table, by the feature's name. Empty without a model.
    """

    version_id: str | None
    item_id: NDArray[np.int64]
    columns: Mapping[str, Sequence[Any]]
    embeddings: Mapping[str, EmbeddingColumn]

    def __len__(self) -> int:
        return len(self.item_id)
