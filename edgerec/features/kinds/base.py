"""The base class of all feature kinds: what a kind has to define (docs/extending.md)."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from edgerec.core.errors import EdgeRecError, PluginError, SpecificationError
from edgerec.core.faults import CheckedModel
from edgerec.core.plugins import name_errors
from edgerec.core.text_fields import Value
from edgerec.features.as_of import AsOf
from edgerec.features.relations.rule import RelationRule
from edgerec.features.vocabulary import MISSING_ID, Vocabulary

Origin: TypeAlias = Literal["catalogue", "served", "request", "derived"]
Reads: TypeAlias = Literal["numbers", "strings", "identities"]
EncodedField: TypeAlias = Literal["ids", "codes", "numbers"]
Layout: TypeAlias = Literal["table", "one_hot", "number"]

MISSING: dict[Reads, Any] = {"numbers": np.nan, "strings": None, "identities": MISSING_ID}
"""The value that stands for a missing value, by the type of the values in a column."""

DTYPES: dict[Reads, type] = {"numbers": np.float64, "strings": object, "identities": np.int64}
"""The data type of a column, by the type of its values. Training and the device give `encode` the same types."""


class FittedMoments(Protocol):
    """The mean and the standard deviation of numbers."""

    @property
    def mean(self) -> float: ...
    @property
    def standard_deviation(self) -> float: ...


class FittedRange(Protocol):
    """A summary of a feature's numbers in the training period (`edgerec.data.octaves.Octaves`)."""

    def bounds(self) -> tuple[float, float]:
        """Return the lower and the upper bound at which values are clipped."""

    def clipped(self, low: float, high: float) -> FittedMoments:
        """Return the mean and the standard deviation of the clipped numbers."""


class BaseFeature(CheckedModel):
    """One feature of a specification. Each kind of feature is a subclass.

    A subclass sets `kind`, `field` and `layout`, and writes `encode`. If the defaults do not fit, it also
    overrides `reads`, `codes`, `listed` and the methods that fit the feature to data.
    """

    error_class: ClassVar[type[EdgeRecError]] = SpecificationError
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    source: Annotated[Value, Field(min_length=1)]
    """The name of the column that contains the values."""
    origin: Origin | None = None
    """For item features, `catalogue`: an attribute in items.parquet, or `served`: a value at the time of serving. For
    context features, `request`: a column of the requests, or `derived`: a value of `edgerec.features.context`."""
    relation: RelationRule | None = None
    """Only for relations: how the value is computed. Then `source` is a name for it; default: the feature's name."""
    as_of: AsOf | None = None
    """How the values of the column are computed from past events, if the logs do not have the column."""
    kind: str
    """The kind's name in a specification."""

    field: ClassVar[EncodedField] = "codes"
    """The array of `Encoded` that contains the feature's column."""
    layout: ClassVar[Layout] = "one_hot"
    """How `expand` writes the encoded column: `one_hot` is 1 at the code's index, `number` is the value itself, `table`
    is a row of a trained table. The Keras layer `FeatureVector` does the same."""

    @model_validator(mode="before")
    @classmethod
    def _default_source(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("relation") is not None and "source" not in data and "name" in data:
            return {**data, "source": data["name"]}
        return data

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A kind of another package may raise any error, wherever its methods are called.
        name_errors(cls, (name for name in vars(BaseFeature) if not name.startswith("_")))

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, name: str) -> str:
        # Names become folder names in bundles and tensor names in graphs.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
            raise ValueError("should begin with a letter and contain only letters, digits and '_', at most 64")
        return name

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Documents without these fields keep the bytes that earlier versions wrote.
        document: dict[str, Any] = handler(self)
        for name in ("as_of", "relation"):
            if getattr(self, name) is None:
                document.pop(name, None)
        return document

    @property
    def has_table(self) -> bool:
        """Whether the feature's values are rows of a trained table. A bundle stores the table in its cloud half."""
        return self.layout == "table"

    @property
    def reads(self) -> Reads:
        """The type of the values in the column."""
        return "numbers"

    @property
    def missing(self) -> Any:
        """The value that stands for a missing value in the column."""
        return MISSING[self.reads]

    @property
    def codes(self) -> int:
        """The number of different codes, at most 256; 0 if the feature is not in `Encoded.codes`."""
        return 0

    @property
    def width(self) -> int:
        """How many numbers the feature has in the dense vector."""
        return self.codes if self.layout == "one_hot" else 1

    @property
    def listed(self) -> tuple[str, ...]:
        """The names of codes 1, 2, ... in the statistics of logs. If there are no names, statistics show quantiles."""
        return ()

    @property
    def unlisted(self) -> str | None:
        """The name of code 0 in the statistics of logs, or None if code 0 means all values that are not listed."""
        return None

    @property
    def fits_numbers(self) -> bool:
        """Whether `fit` needs the numbers of the training period."""
        return False

    def numbers(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Return the numbers (n,) that `fit` needs. NaN is a missing value."""
        return self._floats(column)

    def fit(self, numbers: FittedRange) -> BaseFeature:
        """Return the feature after fitting its settings to the numbers of the training period."""
        return self

    def fit_vocabulary(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> Vocabulary:
        """Return the vocabulary of a feature with a table, given `ids` (n,) and how often each of them occurred.

        Raises:
            PluginError: the feature kind does not define this method.
        """
        raise PluginError(f"feature kind {self.kind}: {type(self).__name__} should define `fit_vocabulary`")

    def check_fitted(self, vocabulary: Vocabulary | None) -> None:
        """Raise SpecificationError unless everything that `encode` needs was fitted."""

    def size(self, vocabulary: Vocabulary | None) -> int:
        """Return how many values the encoded column may take (0, 1, ...), or 0 for a column of real numbers."""
        return self.codes

    def encode(self, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[Any]:
        """Return the encoded column (n,), with the type of its array in `Encoded`.

        Args:
            column: (n,). A row without a value contains `missing`.
            vocabulary: the feature's vocabulary, for a feature with a table.

        Raises:
            SpecificationError: the column has a type that the feature does not read, or contains a value that is
                infinite or too large for float32.
            PluginError: the feature kind does not define this method.
        """
        raise PluginError(f"feature kind {self.kind}: {type(self).__name__} should define `encode`")

    def expand(self, column: NDArray[Any] | None, out: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> None:
        """Write the dense values of an encoded column.

        Args:
            column: (n,), as `encode` returns it. For a feature with a table: the rows (n, width) of its table, or None
                if they were not given.
            out: (n, width), the array to write to. It contains zeros.
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
                f"feature {self.name} ({self.kind}) reads numbers; column {self.source!r} has the type {column.dtype}"
            )
        values = column.astype(np.float64)
        if bool(np.isinf(values).any()):
            raise SpecificationError(f"feature {self.name}: column {self.source!r} contains an infinite value")
        return values
