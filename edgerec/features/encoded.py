"""Features of many rows as compact codes. Samples store them, and `GroupEncoder.expand` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.features.kinds.base import BaseFeature

FIELDS: dict[str, type[np.generic]] = {"ids": np.int32, "codes": np.uint8, "numbers": np.float32}
"""The arrays of `Encoded` and their data types."""


@dataclass(frozen=True)
class Encoded:
    """The features of n rows as compact codes. In each array, features are in the specification's order.

    Attributes:
        ids: (n, embedding features) int32, row numbers in embedding tables.
        codes: (n, coded features) uint8. Code 0 is a missing value; for a binary feature it means "no".
        numbers: (n, raw features) float32, transformed, clipped and scaled.
    """

    ids: NDArray[np.int32]
    codes: NDArray[np.uint8]
    numbers: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice | NDArray[np.integer[Any]]) -> Encoded:
        return Encoded(self.ids[rows], self.codes[rows], self.numbers[rows])

    @classmethod
    def of_columns(cls, features: Sequence[BaseFeature], columns: Iterable[NDArray[Any]], count: int) -> Encoded:
        """Return the encoded features of `count` rows. `columns` has one column (count,) for each feature."""
        fields: dict[str, list[NDArray[Any]]] = {field: [] for field in FIELDS}
        for feature, column in zip(features, columns, strict=True):
            fields[feature.field].append(column)
        return cls(**{field: _stack(fields[field], count, dtype) for field, dtype in FIELDS.items()})

    @classmethod
    def of_numbers(cls, numbers: NDArray[np.float32]) -> Encoded:
        """Return the encoded features of n rows, if all features are in `numbers` (n, features)."""
        count = len(numbers)
        return cls(np.empty((count, 0), np.int32), np.empty((count, 0), np.uint8), np.ascontiguousarray(numbers))

    def columns(self, features: Iterable[BaseFeature]) -> list[NDArray[Any]]:
        """Return the column (n,) of each feature: the reverse of `of_columns`."""
        indices = dict.fromkeys(FIELDS, 0)
        columns = []
        for feature in features:
            columns.append(getattr(self, feature.field)[:, indices[feature.field]])
            indices[feature.field] += 1
        return columns


def _stack(columns: list[NDArray[Any]], count: int, dtype: type[np.generic]) -> NDArray[Any]:
    table: NDArray[Any] = np.empty((count, len(columns)), dtype)
    for index, column in enumerate(columns):
        table[:, index] = column
    return table
