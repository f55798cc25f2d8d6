"""Compact codes -> dense feature vectors, with the trained tables; the twin of `GroupEncoder.expand`."""

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
    """The vectors of one feature group, features side by side in the specification's order.

    Args:
        features: the group.
        rows: rows of each embedding table, the unknown row 0 included, by name of feature.
        unknown_rate: in training, the share of identities that are replaced by the unknown row. It keeps a model from
            leaning on identities that the test period does not have, and trains the row that stands for those.
        spread: standard deviation with which tables begin.

    Call arguments:
        ids: (..., embeddings) int32.
        codes: (..., coded features) uint8.
        numbers: (..., raw features) float32.

    Returns:
        (..., width) float32.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        *,
        rows: Mapping[str, int],
        unknown_rate: float = 0.0,
        spread: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= unknown_rate < 1.0:
            raise ValueError(f"`unknown_rate` should be in [0, 1). Received: {unknown_rate}")
        self.features = tuple(features)
        self.rows = dict(rows)
        self.unknown_rate = unknown_rate
        self.spread = spread
        self.width = sum(feature.width for feature in self.features)
        self.tables: dict[str, Any] = {}
        self._seeds = keras.random.SeedGenerator()

    def build(self, *shapes: Any, **named: Any) -> None:
        for feature in embeddings(self.features):
            if feature.name not in self.rows:
                raise ValueError(f"`rows` should name embedding {feature.name!r}. Received: {sorted(self.rows)}")
            self.tables[feature.name] = self.add_weight(
                shape=(self.rows[feature.name], feature.dimension),
                initializer=keras.initializers.RandomNormal(stddev=self.spread),
                name=feature.name,
            )
        self.built = True

    def call(self, ids: Any, codes: Any, numbers: Any, training: bool = False) -> Any:
        if training and self.unknown_rate and self.tables:
            kept = keras.random.uniform(ops.shape(ids), seed=self._seeds) >= self.unknown_rate
            ids = ops.where(kept, ids, 0)
        arrays = {"ids": ids, "codes": codes, "numbers": numbers}
        places = dict.fromkeys(FIELDS, 0)
        parts = []
        for feature in self.features:
            column = arrays[feature.field][..., places[feature.field]]
            places[feature.field] += 1
            # The twin of `BaseFeature.expand`.
            if feature.layout == "table":
                parts.append(ops.take(self.tables[feature.name], column, axis=0))
            elif feature.layout == "one_hot":
                parts.append(ops.one_hot(ops.cast(column, "int32"), feature.width, dtype="float32"))
            else:
                parts.append(ops.cast(column, "float32")[..., None])
        return ops.concatenate(parts, axis=-1)

    def reseed(self, seed: int) -> None:
        """Begin a new sequence of hidden identities."""
        self._seeds.state.assign([seed, 0])

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        features = [feature.model_dump(mode="json") for feature in self.features]
        return {
            **config,
            "features": features,
            "rows": self.rows,
            "unknown_rate": self.unknown_rate,
            "spread": self.spread,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureVector:
        features = [_FEATURE.validate_python(feature) for feature in config.pop("features")]
        return cls(features, **config)
