"""The feature kind bucketize: the interval that contains a number."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictFloat, field_validator

from edgerec.features.kinds.base import BaseFeature
from edgerec.features.vocabulary import Vocabulary

_FEW = 16
"""Up to this number of boundaries, comparing a long column with each of them is faster than a binary search."""
_SHORT = 64
"""A column of fewer values is encoded faster by a binary search. Devices encode single behaviours."""


class Bucketize(BaseFeature):
    """A one-hot code of the interval: missing, ``(-inf, b0)``, ``[b0, b1)``, ..., ``[bn, inf)``."""

    kind: Literal["bucketize"]
    boundaries: Annotated[tuple[StrictFloat, ...], Field(min_length=1, max_length=253)]

    @field_validator("boundaries")
    @classmethod
    def _ascending(cls, boundaries: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in itertools.pairwise(boundaries)):
            raise ValueError("should be strictly ascending")
        return boundaries

    @property
    def codes(self) -> int:
        return len(self.boundaries) + 2

    def encode(self, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[np.uint8]:
        values = self._floats(column)
        if len(self.boundaries) > _FEW or len(values) < _SHORT:
            codes = (np.searchsorted(np.asarray(self.boundaries), values, side="right") + 1).astype(np.uint8)
        else:
            codes = np.ones(len(values), np.uint8)
            for boundary in self.boundaries:
                codes += values >= boundary
        codes[np.isnan(values)] = 0
        return codes
