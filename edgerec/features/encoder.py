"""The NumPy encoder: columns of logged values -> compact codes -> the vectors that the models read.

The same code encodes millions of sample rows and single behaviours on the device. `encode` returns compact codes, which
samples store. `expand` returns dense vectors, which graphs read. Training expands codes on the accelerator
(`edgerec.layers.feature_vector`); a test checks that both give the same vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import PluginError, SpecificationError
from edgerec.core.plugins import is_plugin
from edgerec.features.encoded import FIELDS, Encoded
from edgerec.features.kinds import Feature
from edgerec.features.kinds.base import BaseFeature
from edgerec.features.kinds.embedding import Embedding, embeddings
from edgerec.features.kinds.raw import Raw, RawBlock
from edgerec.features.vocabulary import Vocabulary

__all__ = ["Columns", "Encoded", "GroupEncoder", "Values", "encode_column"]

Columns = Mapping[str, NDArray[Any]]
"""One array (n,) for each source column. A missing number is NaN, a missing string is None or '', and a
missing ID is `MISSING_ID`."""

Values = Mapping[str, float | int | str | None]
"""Raw values of one row by source column, as in the logs. A missing value is None."""


def encode_column(feature: BaseFeature, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[Any]:
    """Return ``feature.encode(column, vocabulary)``. If another package defines the feature kind, check the result.

    Raises:
        SpecificationError: the feature cannot read a value.
        PluginError: the result has another shape or type, or a code that the feature does not have.
    """
    found = feature.encode(column, vocabulary)
    if not is_plugin(type(feature)):
        return found
    wanted = "biu" if issubclass(FIELDS[feature.field], np.integer) else "biuf"
    of = f"feature {feature.name}: `{type(feature).__module__}.{type(feature).__qualname__}.encode`"
    if not isinstance(found, np.ndarray) or found.shape != column.shape or found.dtype.kind not in wanted:
        received = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise PluginError(
            f"{of} should return an array of {len(column)} {'integers' if wanted == 'biu' else 'numbers'}; received "
            f"{received}"
        )
    size = feature.size(vocabulary)
    if size and len(found) and not 0 <= int(found.min()) <= int(found.max()) < size:
        raise PluginError(f"{of} should return codes from 0 to {size - 1}; received {found.min()} to {found.max()}")
    return found


class GroupEncoder:
    """Encodes one group of features (IE action, IPV action or item)."""

    def __init__(self, features: Sequence[Feature], vocabularies: Mapping[str, Vocabulary] | None = None) -> None:
        """Args:
            features: the features of the group, in the specification's order.
            vocabularies: the vocabulary of each embedding feature, by the feature's name.

        Raises:
            SpecificationError: an embedding has no vocabulary, or a raw feature has no mean and scale.
        """
        self.features = tuple(features)
        self.vocabularies = dict(vocabularies or {})
        ends = list(accumulate((feature.width for feature in self.features), initial=0))
        self._parts = [slice(start, end) for start, end in pairwise(ends)]
        self.width = ends[-1]
        """The width of the dense vector."""
        # Another package may define a subclass with another `encode`, so only this class is encoded together.
        self._raw = [index for index, feature in enumerate(self.features) if type(feature) is Raw]
        self._block = RawBlock([feature for feature in self.features if type(feature) is Raw])
        self._only_raw = len(self._raw) == len(self.features)
        for feature in self.features:
            feature.check_fitted(self.vocabularies.get(feature.name))

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """The group's embedding features."""
        return embeddings(self.features)

    def sizes(self) -> dict[str, NDArray[np.int64]]:
        """Return how many values each column of each array of `Encoded` may take.

        For `ids` this is the number of rows in the table, for `codes` the number of codes, and for `numbers` 0.
        """
        sizes: dict[str, list[int]] = {field: [] for field in FIELDS}
        for feature in self.features:
            sizes[feature.field].append(feature.size(self.vocabularies.get(feature.name)))
        return {field: np.array(counts, int) for field, counts in sizes.items()}

    def encode(self, columns: Columns) -> Encoded:
        """Encode n rows.

        Raises:
            SpecificationError: a column is missing, has another length than the first column, has a type that its
                feature does not read, or holds a value that is infinite or too large for float32.
        """
        count = len(next(iter(columns.values()))) if columns else 0
        for feature in self.features:
            if feature.source not in columns:
                raise SpecificationError(
                    f"feature {feature.name} reads column {feature.source!r}, which is missing; "
                    f"the columns are: {', '.join(sorted(columns)) or 'none'}"
                )
            if columns[feature.source].shape != (count,):
                raise SpecificationError(
                    f"feature {feature.name}: column {feature.source!r} should have the shape ({count},) of the "
                    f"first column; received {columns[feature.source].shape}"
                )
        return self.encode_each([columns[feature.source] for feature in self.features], count)

    def encode_each(self, columns: Sequence[NDArray[Any]] | NDArray[Any], count: int) -> Encoded:
        """Encode `count` rows, given one column (count,) for each feature.

        Two features may read the same source as different types, such as an ID and a number.

        Raises:
            SpecificationError: a feature cannot read its column.
        """
        encoded = self._encoded_columns(columns)
        if isinstance(encoded, np.ndarray):
            return Encoded.of_numbers(encoded.T)
        return Encoded.of_columns(self.features, encoded, count)

    def vectors(self, columns: Sequence[NDArray[Any]] | NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write the dense vectors of n rows. They are those that `expand` returns for the codes of `encode_each`.

        Args:
            columns: one column (n,) for each feature. No feature has a table.
            out: (n, width), the array to write to. It contains zeros.

        Raises:
            SpecificationError: a feature cannot read its column.
        """
        self._write(self._encoded_columns(columns), out)

    def _encoded_columns(self, columns: Sequence[NDArray[Any]] | NDArray[Any]) -> Sequence[NDArray[Any]] | NDArray[Any]:
        """Return the encoded column (n,) of each feature, as one array if all features are encoded together."""
        block = None
        if len(self._raw) > 1:
            block = self._block.encode(columns if self._only_raw else [columns[index] for index in self._raw])
            if block is not None and self._only_raw:
                return block
        together = {} if block is None else dict(zip(self._raw, block, strict=True))
        return [
            together[index]
            if index in together
            else encode_column(feature, column, self.vocabularies.get(feature.name))
            for index, (feature, column) in enumerate(zip(self.features, columns, strict=True))
        ]

    def expand(
        self, encoded: Encoded, embedded: Mapping[str, NDArray[np.floating[Any]]] | None = None
    ) -> NDArray[np.float32]:
        """Return dense vectors (n, width). The features are side by side, in the specification's order.

        Args:
            encoded: the codes of n rows.
            embedded: the table's rows (n, dimension) for ``encoded.ids``, by the name of the embedding feature.

        Raises:
            SpecificationError: the rows of a table are missing or have another shape.
        """
        dense = np.zeros((len(encoded), self.width), np.float32)
        self._write(encoded.numbers.T if self._only_raw else encoded.columns(self.features), dense, embedded)
        return dense

    def _write(
        self,
        columns: Sequence[NDArray[Any]] | NDArray[Any],
        out: NDArray[np.float32],
        embedded: Mapping[str, NDArray[np.floating[Any]]] | None = None,
    ) -> None:
        """Write the dense vectors of n rows, given the encoded column (n,) of each feature."""
        if isinstance(columns, np.ndarray):
            out[:] = columns.T
            return
        rows = np.arange(len(out))
        for feature, part, column in zip(self.features, self._parts, columns, strict=True):
            feature.expand((embedded or {}).get(feature.name) if feature.has_table else column, out[:, part], rows)
