"""What a kind of feature has to say: the base class of all kinds (docs/extending.md)."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edgerec.core.errors import SpecificationError
from edgerec.core.text_fields import Value
from edgerec.features.vocabulary import MISSING_ID, Vocabulary

Origin: TypeAlias = Literal["catalogue", "served"]
Reads: TypeAlias = Literal["numbers", "strings", "identities"]
EncodedField: TypeAlias = Literal["ids", "codes", "numbers"]
Layout: TypeAlias = Literal["table", "one_hot", "number"]

MISSING: dict[Reads, Any] = {"numbers": np.nan, "strings": None, "identities": MISSING_ID}
"""What stands for a missing value in a column, by what the feature reads."""


class FittedMoments(Protocol):
    """Mean and standard deviation of numbers."""

    @property
    def mean(self) -> float: ...
    @property
    def standard_deviation(self) -> float: ...


class FittedRange(Protocol):
    """The numbers that a feature had in the training period, summed up (`edgerec.data.octaves.Octaves`)."""

    def bounds(self) -> tuple[float, float]:
        """Return the lower and the upper bound at which values are clipped."""

    def clipped(self, low: float, high: float) -> FittedMoments:
        """Return the moments of the numbers after clipping."""


class BaseFeature(BaseModel):
    """One feature of a specification. Each kind of feature is a subclass.

    A subclass sets `kind`, `field` and `layout`, and writes `encode`. Where the defaults do not fit, it also sets
    `reads`, `codes`, `listed`, and what is fitted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    source: Annotated[Value, Field(min_length=1)]
    """The column that holds the value."""
    origin: Origin | None = None
    """Item features only: `catalogue` is an attribute in items.parquet, `served` a value as of the serving instant."""
    kind: str
    """The kind's name in a specification."""

    field: ClassVar[EncodedField] = "codes"
    """The array of `Encoded` that holds the feature's column."""
    layout: ClassVar[Layout] = "one_hot"
    """How `expand` writes the encoded column: `one_hot` is 1 at the code's index, `number` is the value itself, `table`
    is a row of a trained table. The Keras layer `FeatureVector` does the same."""

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, name: str) -> str:
        # Names become folder names in bundles and tensor names in graphs.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
            raise ValueError("should be letters, digits and '_', at most 64, beginning with a letter")
        return name

    @property
    def reads(self) -> Reads:
        """What the column holds."""
        return "numbers"

    @property
    def missing(self) -> Any:
        """What stands for a missing value in the column."""
        return MISSING[self.reads]

    @property
    def codes(self) -> int:
        """The number of different codes, at most 256; 0 if the feature is not in `Encoded.codes`."""
        return 0

    @property
    def width(self) -> int:
        """How many numbers of the dense vector are the feature's."""
        return self.codes if self.layout == "one_hot" else 1

    @property
    def listed(self) -> tuple[str, ...]:
        """The names of codes 1, 2, ... in the statistics of logs. If there are none, statistics show quantiles."""
        return ()

    @property
    def unlisted(self) -> str | None:
        """The name of code 0 in the statistics of logs, or None if these are values that are not listed."""
        return None

    @property
    def fits_numbers(self) -> bool:
        """Whether `fit` needs to know the numbers of the training period."""
        return False

    def numbers(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Return the numbers (n,) that `fit` needs to know; NaN is missing."""
        return self._floats(column)

    def fit(self, numbers: FittedRange) -> BaseFeature:
        """Return the feature with everything that the numbers of the training period decide."""
        return self

    def fit_vocabulary(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> Vocabulary:
        """Return the vocabulary of a feature in `Encoded.ids`, given identities (n,) and how often each was seen."""
        raise NotImplementedError

    def check_fitted(self, vocabulary: Vocabulary | None) -> None:
        """Refuse to encode before everything is fitted.

        Raises:
            SpecificationError: something is not fitted yet.
        """

    def size(self, vocabulary: Vocabulary | None) -> int:
        """Return how many values the encoded column may take: 0, 1, ...; 0 if it holds any finite numbers."""
        return self.codes

    def encode(self, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[Any]:
        """Return the encoded column (n,), in the type of its array of `Encoded`.

        Args:
            column: (n,), with `missing` where there is no value.
            vocabulary: of a feature in `Encoded.ids`.

        Raises:
            SpecificationError: the column is of another type than the feature reads, or holds an infinite value or
                one that float32 cannot hold.
        """
        raise NotImplementedError

    def expand(self, column: NDArray[Any] | None, out: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> None:
        """Write the dense values of an encoded column.

        Args:
            column: (n,), as `encode` returns it; of a feature in `Encoded.ids`, rows (n, width) of its table, or None
                if they were not given.
            out: (n, width), zeros.
            rows: (n,), 0 to n - 1.
        """
        if self.layout == "one_hot":
            out[rows, column] = 1.0
        elif self.layout == "number":
            out[:, 0] = column
        else:
            out[:] = column

    def _floats(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Return a column of numbers as float64."""
        if column.dtype.kind not in "fiub":
            raise SpecificationError(
                f"feature {self.name} ({self.kind}) reads numbers; column {self.source!r} holds {column.dtype}"
            )
        values = column.astype(np.float64)
        if bool(np.isinf(values).any()):
            raise SpecificationError(f"feature {self.name}: column {self.source!r} holds an infinite value")
        return values
