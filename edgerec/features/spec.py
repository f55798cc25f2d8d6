"""The feature specification: what the columns of the logs mean to the models (Table 1).

A specification is a JSON file, not code. It travels with samples, runs, bundles and embedding tables, so that the numpy
encoder turns the same values into the same vectors everywhere.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from edgerec.core.documents import bounded_bytes, first_fault, parse_json
from edgerec.core.errors import SpecificationError
from edgerec.core.text_fields import Name, Value

FORMAT = 1
Origin: TypeAlias = Literal["catalogue", "served"]


class _Feature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    source: Annotated[Value, Field(min_length=1)]
    """The column that holds the value."""
    origin: Origin | None = None
    """Item features only: `catalogue` is an attribute in items.parquet, `served` a value as of the serving instant."""

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, name: str) -> str:
        # Names become folder names in bundles and tensor names in graphs.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
            raise ValueError("should be letters, digits and '_', at most 64, beginning with a letter")
        return name


class Bucketize(_Feature):
    """A number by the interval it falls into, one-hot: ``(-inf, b0), [b0, b1), ..., [bn, inf)``, and missing."""

    kind: Literal["bucketize"]
    boundaries: Annotated[tuple[float, ...], Field(min_length=1, max_length=253)]

    @field_validator("boundaries")
    @classmethod
    def _ascending(cls, boundaries: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in itertools.pairwise(boundaries)):
            raise ValueError("should be strictly ascending")
        return boundaries

    @property
    def width(self) -> int:
        return len(self.boundaries) + 2


_Whole = Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
"""A whole number that a column of floats (with NaN for missing) still holds exactly."""


class OneHot(_Feature):
    """One of a few known values, one-hot; missing and unlisted values share one place."""

    kind: Literal["one_hot"]
    values: Annotated[tuple[_Whole | Value, ...], Field(min_length=1, max_length=254)]

    @field_validator("values")
    @classmethod
    def _unique_of_one_type(cls, values: tuple[int | str, ...]) -> tuple[int | str, ...]:
        if len(set(values)) < len(values) or len({type(value) for value in values}) > 1:
            raise ValueError("should be unique, and all integers or all strings")
        return values

    @property
    def width(self) -> int:
        return len(self.values) + 1


class Binarize(_Feature):
    """1 above the threshold, else 0; missing is 0: what was not recorded did not happen."""

    kind: Literal["binarize"]
    threshold: float = 0.0

    @property
    def width(self) -> int:
        return 1


class Embedding(_Feature):
    """An integer identity looked up in a trained table; row 0 is for whatever the vocabulary does not have."""

    kind: Literal["embedding"]
    dimension: Annotated[int, Field(ge=1, le=1024)]
    vocabulary: Annotated[int, Field(ge=1, le=2**31 - 2)]
    """At most so many identities, the most frequent of the training period; the unknown row comes on top."""
    min_count: Annotated[int, Field(ge=1)] = 1
    """An identity seen less often in the training period counts as unknown."""

    @property
    def width(self) -> int:
        return self.dimension


class Raw(_Feature):
    """``(clip(transform(x), low, high) - mean) / scale``; missing is 0, the mean.

    Whatever is left out of `low`, `high`, `mean` and `scale` is fitted on training data when samples are made.
    """

    kind: Literal["raw"]
    transform: Literal["none", "log1p"] = "none"
    low: float | None = None
    """Lower bound of the transformed value; smaller values are replaced by it. None in a fitted specification of an
    earlier version: no bound."""
    high: float | None = None
    """Upper bound, likewise."""
    mean: float | None = None
    scale: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _low_to_high(self) -> Raw:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low should be at most high; received {self.low:g} and {self.high:g}")
        return self

    @property
    def width(self) -> int:
        return 1


Feature = Annotated[Bucketize | OneHot | Binarize | Embedding | Raw, Field(discriminator="kind")]


class FeatureSpec(BaseModel):
    """The features of the three groups, in the order in which their vectors are put together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Name
    ie_action: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """What the user did with an exposed item: e1 to e7."""
    ipv_action: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """What the user did on an item's page: d1 to d12."""
    item: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """What an item is: p1 to p7."""

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSpec:
        for group in ("ie_action", "ipv_action", "item"):
            features: tuple[Feature, ...] = getattr(self, group)
            names = [feature.name.lower() for feature in features]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{group}: {twice[0]} stands twice; names should be unique")
            for feature in features:
                if (feature.origin is not None) != (group == "item"):
                    rule = "should be 'catalogue' or 'served'" if group == "item" else "belongs to item features only"
                    raise ValueError(f"{group}.{feature.name}: origin {rule}; received {feature.origin!r}")
                if group != "item" and feature.kind == "embedding":
                    raise ValueError(f"{group}.{feature.name}: embeddings are for item features only")
                if feature.kind == "embedding" and feature.origin != "catalogue":
                    raise ValueError(f"item.{feature.name}: an embedding's origin should be 'catalogue'")
        return self

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """The item features that have a trained table."""
        return tuple(feature for feature in self.item if isinstance(feature, Embedding))

    @property
    def vocabulary_sizes(self) -> dict[str, int]:
        """The most identities of each embedding feature, by name."""
        return {feature.name: feature.vocabulary for feature in self.embeddings}

    @property
    def fitted(self) -> bool:
        """Whether every raw feature has its mean and scale."""
        groups = (*self.ie_action, *self.ipv_action, *self.item)
        return all(f.mean is not None and f.scale is not None for f in groups if isinstance(f, Raw))


def load_spec(path: Path) -> FeatureSpec:
    """Read a specification file.

    Raises:
        SpecificationError: no such file, no JSON, another format number, or a field that is not valid.
    """
    try:
        text = bounded_bytes(path)
    except OSError as error:
        raise SpecificationError(f"feature specification {path}: {error.strerror}") from error
    return parse_spec(text, where=str(path))


def parse_spec(text: bytes | str, *, where: str) -> FeatureSpec:
    """Parse and check a specification; `where` names it in errors.

    Raises:
        SpecificationError: as `load_spec`.
    """
    try:
        document = parse_json(text)
    except ValueError as error:
        raise SpecificationError(f"feature specification {where}: not valid JSON: {error}") from None
    received = document.get("format") if isinstance(document, dict) else None
    if received != FORMAT or isinstance(received, bool):
        raise SpecificationError(
            f"feature specification {where}: format {received!r}, this version reads format {FORMAT}"
        )
    try:
        return FeatureSpec.model_validate(document)
    except ValidationError as error:
        raise SpecificationError(f"feature specification {where}: {first_fault(error)}") from None


def table1() -> FeatureSpec:
    """The paper's features (Table 1), with buckets of our choice; see docs/features.md."""
    path = Path(__file__).with_name("table1.json")
    return load_spec(path)
