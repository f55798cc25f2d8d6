"""The encoder of raw values on the device. It makes the feature vector of an item or of an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SpecificationError
from edgerec.device_runtime.row_checks import check_keys, embedding_rows, raw_column
from edgerec.features.encoder import GroupEncoder, Values
from edgerec.features.kinds import Feature

Array = npt.NDArray[np.float32]

_NONE = "give a missing value as None"


class RawEncoder:
    """The encoder of one feature group. It needs no vocabulary, because the cloud sends the embeddings of each item.

    Args:
        features: the features of the group, in the specification's order.

    Attributes:
        width: the length of a vector.
        embeddings: the dimension of each embedding feature, by name.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        ends = np.cumsum([feature.width for feature in features]).tolist()
        columns = {feature.name: slice(end - feature.width, end) for feature, end in zip(features, ends, strict=True)}
        coded = [feature for feature in features if not feature.has_table]
        self.width = ends[-1] if ends else 0
        self.embeddings = {feature.name: feature.width for feature in features if feature.has_table}
        self._embedded = {name: columns[name] for name in self.embeddings}
        self._coded = np.r_[tuple(columns[feature.name] for feature in coded)] if coded else np.zeros(0, int)
        self._sources = {feature.source: None for feature in coded}
        self._getters = [itemgetter(feature.source) for feature in coded]
        self._encoder = GroupEncoder(coded)

    def vector(self, values: Values, embedded: Mapping[str, Array] | None = None) -> Array:
        """Return the vector of one row. Shape (width,).

        Args:
            values: raw values by source column. The keys are exactly the columns of the features without a table. A
                missing value is None.
            embedded: the embedding row that the cloud sent for each embedding feature, by name. Shape (dimension,).
                float16 and float64 are converted to float32.

        Raises:
            SpecificationError: a key is unknown or absent, a feature cannot read its value, or an embedding is not an
                array of finite floating-point numbers of the right shape.
        """
        check_keys("raw values", values, self._sources, _NONE)
        vector: Array = self._encode([values], embedded, ())[0]
        return vector

    def vectors(self, rows: Sequence[Values], embedded: Mapping[str, Array] | None = None) -> Array:
        """Return the vectors of n rows. Shape (n, width).

        Each array in `embedded` has the shape (n, dimension). The errors are those of `vector`.
        """
        if not isinstance(rows, Sequence):
            raise SpecificationError(f"raw values: expected a list of rows; received {type(rows).__name__}")
        # A dict with all columns and the right length has no other keys. These checks are faster than one for each row.
        if not set(map(type, rows)) <= {dict} or not set(map(len, rows)) <= {len(self._sources)}:
            self._check_rows(rows)
        return self._encode(rows, embedded, (len(rows),))

    def _check_rows(self, rows: Sequence[Values]) -> None:
        for index, row in enumerate(rows):
            check_keys(f"raw values of row {index}", row, self._sources, _NONE)

    def _encode(self, rows: Sequence[Values], embedded: Mapping[str, Array] | None, leading: tuple[int, ...]) -> Array:
        given = {} if embedded is None else embedded
        check_keys("embeddings", given, self.embeddings, "pass the embedding rows that the cloud sent with the items")
        try:
            raw = [list(map(getter, rows)) for getter in self._getters]
        except KeyError:
            self._check_rows(rows)
            raise
        vectors = np.empty((len(rows), self.width), np.float32)
        if len(self._coded):
            columns = [raw_column(feature, values) for feature, values in zip(self._encoder.features, raw, strict=True)]
            coded = np.zeros((len(rows), self._encoder.width), np.float32)
            self._encoder.vectors(columns, coded)
            vectors[:, self._coded] = coded
        for name, part in self._embedded.items():
            vectors[:, part] = embedding_rows(name, given[name], (*leading, self.embeddings[name]))
        return vectors
