"""The layer that expands encoded features to dense vectors. `GroupEncoder.expand` does the same in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops
from pydantic import TypeAdapter

from edgerec.features.encoded import FIELDS
from edgerec.features.kinds import Feature
from edgerec.features.kinds.embedding import embeddings

_FEATURE: TypeAdapter[Feature] = TypeAdapter(Feature)


@keras.saving.register_keras_serializable("edgerec")
class FeatureVector(keras.layers.Layer):
    """Dense vectors of one feature group, with trained embedding tables.

    The vectors of the features are concatenated in the order of the specification.

    Args:
        features: the features of the group.
        rows: number of rows of each embedding table, by name of the feature. The count includes row 0, the row for
            unknown IDs.
        unknown_rate: share of the IDs that are replaced by row 0 in training. This trains row 0. It also makes the
            model rely less on IDs that do not occur in the test period.
        standard_deviation: standard deviation of the initial values of the tables.

    Call arguments:
        ids: (..., embeddings) int32.
        codes: (..., coded features) uint8.
        numbers: (..., raw features) float32.

    Returns:
        (..., width) float32.

    Example:
        >>> import numpy as np
        >>> from edgerec.features.kinds import Embedding, Raw
        >>> from edgerec.layers import FeatureVector
        >>> shop = Embedding(kind="embedding", name="shop", source="shop_id", dimension=8, vocabulary=100)
        >>> price = Raw(kind="raw", name="price", source="price")
        >>> layer = FeatureVector([shop, price], rows={"shop": 101})
        >>> ids, codes = np.random.randint(101, size=(2, 10, 1)), np.zeros((2, 10, 0), "uint8")
        >>> tuple(layer(ids, codes, np.random.normal(size=(2, 10, 1))).shape)
        (2, 10, 9)
    """

    def __init__(
        self,
        features: Sequence[Feature],
        *,
        rows: Mapping[str, int],
        unknown_rate: float = 0.0,
        standard_deviation: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= unknown_rate < 1.0:
            raise ValueError(f"`unknown_rate` should be in [0, 1). Received: {unknown_rate}")
        self.features = tuple(features)
        self.rows = dict(rows)
        self.unknown_rate = unknown_rate
        self.standard_deviation = standard_deviation
        self.width = sum(feature.width for feature in self.features)
        self.tables: dict[str, Any] = {}
        self._seeds = keras.random.SeedGenerator()

    def build(self, *shapes: Any, **named: Any) -> None:
        for feature in embeddings(self.features):
            if feature.name not in self.rows:
                raise ValueError(f"`rows` should contain embedding {feature.name!r}. Received: {sorted(self.rows)}")
            self.tables[feature.name] = self.add_weight(
                shape=(self.rows[feature.name], feature.dimension),
                initializer=keras.initializers.RandomNormal(stddev=self.standard_deviation),
                name=feature.name,
            )
        self.built = True

    def call(self, ids: Any, codes: Any, numbers: Any, training: bool = False) -> Any:
        if training and self.unknown_rate and self.tables:
            kept = keras.random.uniform(ops.shape(ids), seed=self._seeds) >= self.unknown_rate
            ids = ops.where(kept, ids, 0)
        arrays = {"ids": ids, "codes": codes, "numbers": numbers}
        next_column = dict.fromkeys(FIELDS, 0)
        parts = []
        for feature in self.features:
            column = arrays[feature.field][..., next_column[feature.field]]
            next_column[feature.field] += 1
            # This must compute the same as `BaseFeature.expand`.
            if feature.has_table:
                parts.append(ops.take(self.tables[feature.name], column, axis=0))
            elif feature.layout == "one_hot":
                parts.append(ops.one_hot(ops.cast(column, "int32"), feature.width, dtype="float32"))
            else:
                parts.append(ops.cast(column, "float32")[..., None])
        return ops.concatenate(parts, axis=-1)

    def reseed(self, seed: int) -> None:
        """Set the seed that decides which IDs are replaced in training."""
        self._seeds.state.assign([seed, 0])

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        features = [feature.model_dump(mode="json") for feature in self.features]
        return {
            **config,
            "features": features,
            "rows": self.rows,
            "unknown_rate": self.unknown_rate,
            "standard_deviation": self.standard_deviation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureVector:
        features = [_FEATURE.validate_python(feature) for feature in config.pop("features")]
        return cls(features, **config)
