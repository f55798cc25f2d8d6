"""The feature kind one_hot: one of a few known values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictInt, ValidationError, WrapValidator, field_validator

from edgerec.core.errors import SpecificationError
from edgerec.core.text_fields import MAX_PATH, Value
from edgerec.features.kinds.base import BaseFeature, Reads
from edgerec.features.vocabulary import Vocabulary

_Whole = Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
"""An integer that float64 represents exactly, because a column with missing values is float64 with NaN."""


def _one_fault(value: Any, parse: Callable[[Any], int | str]) -> int | str:
    # pydantic would report one fault for each type, at a field that is not in the specification.
    try:
        return parse(value)
    except ValidationError:
        raise ValueError(f"should be an integer up to 2^53, or a string of at most {MAX_PATH} characters") from None


_Listed = Annotated[_Whole | Value, WrapValidator(_one_fault)]


class OneHot(BaseFeature):
    """A one-hot code of a few known values. Missing values and values that are not listed have code 0."""

    kind: Literal["one_hot"]
    values: Annotated[tuple[_Listed, ...], Field(min_length=1, max_length=254)]

    @field_validator("values")
    @classmethod
    def _unique_of_one_type(cls, values: tuple[int | str, ...]) -> tuple[int | str, ...]:
        if len(set(values)) < len(values) or len({type(value) for value in values}) > 1:
            raise ValueError("should be unique, and all integers or all strings")
        return values

    @property
    def reads(self) -> Reads:
        return "strings" if isinstance(self.values[0], str) else "numbers"

    @property
    def codes(self) -> int:
        return len(self.values) + 1

    @property
    def listed(self) -> tuple[str, ...]:
        return tuple(str(value) for value in self.values)

    def encode(self, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[np.uint8]:
        strings = self.reads == "strings"
        if column.dtype.kind not in ("OU" if strings else "fiub"):
            wanted = "strings" if strings else "integers"
            raise SpecificationError(
                f"feature {self.name} (one_hot) lists {wanted}; column {self.source!r} has the type {column.dtype}"
            )
        if len(column) == 1:
            # On one row, which is what a device encodes, this takes a tenth of the time.
            (value,) = column.tolist()
            return np.array([self.values.index(value) + 1 if value in self.values else 0], np.uint8)
        codes = np.zeros(len(column), np.uint8)
        for code, value in enumerate(self.values, start=1):
            codes[column == value] = code
        return codes
