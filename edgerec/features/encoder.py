"""The one numpy encoder: columns of logged values -> compact codes -> the vectors that the models read.

Samples are encoded by the million and a behaviour on the device one at a time, by the same code: `encode` makes compact
codes (what samples store), `expand` makes dense vectors of them (what graphs read). Training expands on the accelerator
with the same layout (`edgerec.model.feature_vector`), and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import SpecificationError
from edgerec.features.spec import Binarize, Bucketize, Embedding, Feature, OneHot, Raw
from edgerec.features.vocabulary import MISSING_ID, Vocabulary

_FEW = 16
"""Boundaries that are compared one by one sooner than searched."""

Columns = Mapping[str, NDArray[Any]]
"""One array (n,) a source column. Missing is NaN in a number, None or '' in a string, `MISSING_ID` in an identity."""


@dataclass(frozen=True)
class Encoded:
    """Features of n rows as compact codes, each kind in the specification's order.

    Attributes:
        ids: (n, embeddings) int32, rows of embedding tables.
        codes: (n, bucketized, one-hot and binary features) uint8; 0 is missing (or, binary, no).
        numbers: (n, raw features) float32, transformed, clipped and scaled.
    """

    ids: NDArray[np.int32]
    codes: NDArray[np.uint8]
    numbers: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice | NDArray[np.integer[Any]]) -> Encoded:
        return Encoded(self.ids[rows], self.codes[rows], self.numbers[rows])


class GroupEncoder:
    """Encodes one group of features (IE action, IPV action or item)."""

    def __init__(self, features: Sequence[Feature], vocabularies: Mapping[str, Vocabulary] | None = None) -> None:
        """Args:
            features: the group, in the specification's order.
            vocabularies: by name of embedding feature.

        Raises:
            SpecificationError: an embedding without vocabulary, or a raw feature without mean and scale.
        """
        self.features = tuple(features)
        self.vocabularies = dict(vocabularies or {})
        self.width = sum(feature.width for feature in self.features)
        """Width of the dense vector."""
        for feature in self.features:
            if isinstance(feature, Embedding) and feature.name not in self.vocabularies:
                raise SpecificationError(f"feature {feature.name}: no vocabulary given for this embedding")
            if isinstance(feature, Raw) and (feature.mean is None or feature.scale is None):
                raise SpecificationError(f"feature {feature.name}: mean and scale are not fitted yet")

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """The group's embedding features."""
        return tuple(feature for feature in self.features if isinstance(feature, Embedding))

    def sizes(self) -> dict[str, NDArray[np.int64]]:
        """How many values each column of `Encoded` may take, by field: rows of a table, codes, and 0 for numbers."""
        ids = [self.vocabularies[feature.name].rows for feature in self.embeddings]
        coded = [feature for feature in self.features if isinstance(feature, Bucketize | OneHot | Binarize)]
        codes = [2 if isinstance(feature, Binarize) else feature.width for feature in coded]
        numbers = len(self.features) - len(ids) - len(codes)
        return {"ids": np.array(ids, int), "codes": np.array(codes, int), "numbers": np.zeros(numbers, int)}

    def encode(self, columns: Columns) -> Encoded:
        """Encode n rows.

        Raises:
            SpecificationError: a column is missing, of another length than the first or another type than its feature's
                kind reads, or holds an infinite value or one that float32 cannot hold.
        """
        ids: list[NDArray[Any]] = []
        codes: list[NDArray[Any]] = []
        numbers: list[NDArray[Any]] = []
        count = len(next(iter(columns.values()))) if columns else 0
        for feature in self.features:
            if feature.source not in columns:
                raise SpecificationError(
                    f"feature {feature.name} reads column {feature.source!r}, which is not there; "
                    f"there are: {', '.join(sorted(columns)) or 'none'}"
                )
            column = columns[feature.source]
            if column.shape != (count,):
                raise SpecificationError(
                    f"feature {feature.name}: column {feature.source!r} should have shape ({count},) as the others; "
                    f"received {column.shape}"
                )
            encoded = encode_feature(feature, column, self.vocabularies.get(feature.name))
            if isinstance(feature, Embedding):
                ids.append(encoded)
            elif isinstance(feature, Raw):
                numbers.append(encoded)
            else:
                codes.append(encoded)
        return Encoded(_stack(ids, count, np.int32), _stack(codes, count, np.uint8), _stack(numbers, count, np.float32))

    def encode_row(self, values: Mapping[str, float | int | str | None]) -> Encoded:
        """Encode one row, as the device does for one behaviour: `encode` with n = 1; None or no entry is missing."""
        columns: dict[str, NDArray[Any]] = {}
        for feature in self.features:
            value = values.get(feature.source)
            if isinstance(feature, Embedding):
                columns[feature.source] = np.array([MISSING_ID if value is None else value])
            elif isinstance(feature, OneHot) and isinstance(feature.values[0], str):
                columns[feature.source] = np.array([value], dtype=object)
            else:
                columns[feature.source] = np.array([np.nan if value is None else value])
        return self.encode(columns)

    def expand(
        self, encoded: Encoded, embedded: Mapping[str, NDArray[np.floating[Any]]] | None = None
    ) -> NDArray[np.float32]:
        """Dense vectors (n, width), features side by side in the specification's order.

        Args:
            encoded: n rows.
            embedded: (n, dimension) by name of embedding feature: the rows of its table for ``encoded.ids``.

        Raises:
            SpecificationError: rows of a table are missing or of another shape.
        """
        count = len(encoded)
        dense = np.zeros((count, self.width), np.float32)
        every = np.arange(count)
        start = code = number = 0
        for feature in self.features:
            end = start + feature.width
            if isinstance(feature, Embedding):
                rows = (embedded or {}).get(feature.name)
                if rows is None or rows.shape != (count, feature.dimension):
                    raise SpecificationError(
                        f"embedding {feature.name}: expected rows ({count}, {feature.dimension}), "
                        f"received {None if rows is None else rows.shape}"
                    )
                dense[:, start:end] = rows
            elif isinstance(feature, Raw):
                dense[:, start] = encoded.numbers[:, number]
                number += 1
            else:
                if isinstance(feature, Binarize):
                    dense[:, start] = encoded.codes[:, code]
                else:
                    dense[every, start + encoded.codes[:, code].astype(np.int64)] = 1.0
                code += 1
            start = end
        return dense


def encode_feature(feature: Feature, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[Any]:
    """The feature's column of `Encoded` (n,): int32 rows of an embedding, float32 of a raw feature, else uint8 codes.

    Args:
        feature: one of any kind.
        column: (n,), missing values as in `Columns`.
        vocabulary: of an embedding.

    Raises:
        SpecificationError: as `GroupEncoder.encode`.
    """
    if isinstance(feature, Embedding):
        if vocabulary is None:
            raise SpecificationError(f"feature {feature.name}: no vocabulary given for this embedding")
        return vocabulary.lookup(_identities(feature, column))
    if isinstance(feature, Raw):
        return scale_raw(feature, column).astype(np.float32)
    if isinstance(feature, OneHot):
        return _one_hot(feature, column)
    values = _floats(feature, column)
    if isinstance(feature, Bucketize):
        return _buckets(feature, values)
    return (values > feature.threshold).astype(np.uint8)


def _buckets(feature: Bucketize, values: NDArray[np.float64]) -> NDArray[np.uint8]:
    boundaries = feature.boundaries
    if len(boundaries) > _FEW:
        codes = (np.searchsorted(np.asarray(boundaries), values, side="right") + 1).astype(np.uint8)
    else:
        codes = np.ones(len(values), np.uint8)
        for boundary in boundaries:
            codes += values >= boundary
    codes[np.isnan(values)] = 0
    return codes


def raw_values(feature: Raw, column: NDArray[Any]) -> NDArray[np.float64]:
    """The feature's transformed values (n,) within its bounds, before scaling; NaN is missing."""
    values = _floats(feature, column)
    if feature.transform == "log1p":
        if bool((values <= -1).any()):
            raise SpecificationError(
                f"feature {feature.name}: log1p needs values above -1, received {np.nanmin(values):g} in "
                f"{feature.source!r}"
            )
        values = np.log1p(values)
    # The two functions cost a tenth of np.clip on the one row that a device encodes.
    if feature.low is not None:
        values = np.maximum(values, feature.low)
    if feature.high is not None:
        values = np.minimum(values, feature.high)
    return values


def scale_raw(feature: Raw, column: NDArray[Any]) -> NDArray[np.float64]:
    """The feature's scaled values (n,); missing is 0."""
    if feature.mean is None or feature.scale is None:
        raise SpecificationError(f"feature {feature.name}: mean and scale are not fitted yet")
    with np.errstate(over="ignore"):
        scaled = (raw_values(feature, column) - feature.mean) / feature.scale
    if bool((np.abs(scaled) > np.finfo(np.float32).max).any()):
        raise SpecificationError(
            f"feature {feature.name}: column {feature.source!r} holds a value that is beyond float32 when scaled by "
            f"mean {feature.mean:g} and scale {feature.scale:g}"
        )
    return np.where(np.isnan(scaled), 0.0, scaled)


def _floats(feature: Feature, column: NDArray[Any]) -> NDArray[np.float64]:
    if column.dtype.kind not in "fiub":
        raise SpecificationError(
            f"feature {feature.name} ({feature.kind}) reads numbers; column {feature.source!r} holds {column.dtype}"
        )
    values = column.astype(np.float64)
    if bool(np.isinf(values).any()):
        raise SpecificationError(f"feature {feature.name}: column {feature.source!r} holds an infinite value")
    return values


def _identities(feature: Embedding, column: NDArray[Any]) -> NDArray[np.int64]:
    if column.dtype.kind not in "iu":
        raise SpecificationError(
            f"feature {feature.name} (embedding) reads integer identities; column {feature.source!r} holds "
            f"{column.dtype}"
        )
    if column.dtype == np.uint64 and bool((column > np.iinfo(np.int64).max).any()):
        raise SpecificationError(
            f"feature {feature.name}: column {feature.source!r} holds {column.max()}, above the largest identity "
            f"{np.iinfo(np.int64).max}"
        )
    return column.astype(np.int64)


def _one_hot(feature: OneHot, column: NDArray[Any]) -> NDArray[np.uint8]:
    strings = isinstance(feature.values[0], str)
    if column.dtype.kind not in ("OU" if strings else "fiub"):
        wanted = "strings" if strings else "integers"
        raise SpecificationError(
            f"feature {feature.name} (one_hot) lists {wanted}; column {feature.source!r} holds {column.dtype}"
        )
    codes = np.zeros(len(column), np.uint8)
    for place, value in enumerate(feature.values, start=1):
        codes[column == value] = place
    return codes


def _stack(columns: list[NDArray[Any]], count: int, dtype: type[np.generic]) -> NDArray[Any]:
    if not columns:
        return np.zeros((count, 0), dtype)
    return np.stack([column.astype(dtype, copy=False) for column in columns], axis=1)
