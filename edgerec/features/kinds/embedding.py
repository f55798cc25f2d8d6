"""The feature kind embedding: an ID that selects a row of a trained table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgerec.core.errors import SpecificationError
from edgerec.features.kinds.base import BaseFeature, EncodedField, Layout, Reads
from edgerec.features.vocabulary import STRING_IDS, Vocabulary


class Embedding(BaseFeature):
    """An integer ID that is looked up in a trained table. Row 0 is for IDs that are not in the vocabulary."""

    field: ClassVar[EncodedField] = "ids"
    layout: ClassVar[Layout] = "table"

    kind: Literal["embedding"]
    dimension: Annotated[int, Field(ge=1, le=1024)]
    vocabulary: Annotated[int, Field(ge=1, le=2**31 - 2)]
    """Maximum number of IDs in the vocabulary. The most frequent IDs of the training period are kept. The table has one
    more row, for unknown IDs."""
    min_count: Annotated[int, Field(ge=1)] = 1
    """An ID that occurs less often in the training period counts as unknown."""

    @property
    def reads(self) -> Reads:
        return "identities"

    @property
    def width(self) -> int:
        return self.dimension

    def fit_vocabulary(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> Vocabulary:
        return Vocabulary.fit(ids, counts=counts, size=self.vocabulary, min_count=self.min_count)

    def check_fitted(self, vocabulary: Vocabulary | None) -> None:
        self._fitted(vocabulary)

    def size(self, vocabulary: Vocabulary | None) -> int:
        return self._fitted(vocabulary).rows

    def encode(self, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[np.int32]:
        if column.dtype.kind not in "iu":
            raise SpecificationError(
                f"feature {self.name} (embedding) reads integer IDs; column {self.source!r} has the type "
                f"{column.dtype}: {STRING_IDS}"
            )
        if column.dtype == np.uint64 and bool((column > np.iinfo(np.int64).max).any()):
            raise SpecificationError(
                f"feature {self.name}: column {self.source!r} contains {column.max()}, which is above the largest ID "
                f"{np.iinfo(np.int64).max}"
            )
        return self._fitted(vocabulary).lookup(column.astype(np.int64))

    def expand(self, column: NDArray[Any] | None, out: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> None:
        if column is None or column.shape != out.shape:
            raise SpecificationError(
                f"embedding {self.name}: expected table rows of shape {out.shape}; received "
                f"{None if column is None else column.shape}"
            )
        out[:] = column

    def _fitted(self, vocabulary: Vocabulary | None) -> Vocabulary:
        if vocabulary is None:
            raise SpecificationError(f"feature {self.name}: this embedding needs a vocabulary; received none")
        return vocabulary


def embeddings(features: Iterable[BaseFeature]) -> tuple[Embedding, ...]:
    """Return the features that have an embedding table."""
    return tuple(cast(Embedding, feature) for feature in features if feature.has_table)
