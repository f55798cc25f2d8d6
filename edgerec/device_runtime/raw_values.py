"""The encoder of raw values on the device. It makes the feature vector of an item or of an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SpecificationError
from edgerec.features.encoder import GroupEncoder, Values
from edgerec.features.kinds import Feature

Array = npt.NDArray[np.float32]


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
        self._encoder = GroupEncoder(coded)

    def vector(self, values: Values, embedded: Mapping[str, Array] | None = None) -> Array:
        """Return the vector of one row. Shape (width,).

        Args:
            values: raw values by source column.
            embedded: the embedding row that the cloud sent for each embedding feature, by name. Shape (dimension,).

        Raises:
            SpecificationError: a feature cannot read its value, or an embedding is missing or has the wrong shape.
        """
        vector: Array = self._encode([values], embedded, ())[0]
        return vector

    def vectors(self, rows: Sequence[Values], embedded: Mapping[str, Array] | None = None) -> Array:
        """Return the vectors of n rows. Shape (n, width).

        Each array in `embedded` has the shape (n, dimension). The errors are those of `vector`.
        """
        return self._encode(rows, embedded, (len(rows),))

    def _encode(self, rows: Sequence[Values], embedded: Mapping[str, Array] | None, leading: tuple[int, ...]) -> Array:
        vectors = np.empty((len(rows), self.width), np.float32)
        if len(self._coded):
            vectors[:, self._coded] = self._encoder.expand(self._encoder.encode_rows(rows))
        for name, columns in self._embedded.items():
            table, shape = (embedded or {}).get(name), (*leading, self.embeddings[name])
            if not isinstance(table, np.ndarray) or table.shape != shape:
                received = table.shape if isinstance(table, np.ndarray) else type(table).__name__
                raise SpecificationError(
                    f"embedding {name}: expected an array of shape {shape}; received {received}: "
                    "pass the embedding rows that the cloud sent with the items"
                )
            vectors[:, columns] = table
        return vectors
