"""The trained whole: ``ItemEmbedding -> HUBSM -> CRBAN``. Splitting it is taking it apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from edgerec.features.spec import FeatureSpec
from edgerec.model.crban import Crban
from edgerec.model.feature_vector import FeatureVector
from edgerec.model.hubsm import BehaviourEncoder


@keras.saving.register_keras_serializable("edgerec")
class Reranker(keras.Model):
    """Scores a request's candidates from their features and the user's behaviours (section 3).

    Args:
        spec: the feature specification.
        rows: rows of each embedding table, by name of feature.
        units: width of every recurrent layer, of the attention and of the hidden layer.
        layers: depth of every recurrent stack.
        unknown_rate: see `FeatureVector`.
        gain: how large weights begin: GRU kernels as `GruStack` has it, embedding tables with standard deviation
            ``gain / 4``.

    Call arguments:
        inputs: as `edgerec.model.batches.Batch.inputs`.

    Returns:
        logits (batch, k).
    """

    def __init__(
        self,
        spec: FeatureSpec | Mapping[str, Any],
        *,
        rows: Mapping[str, int],
        units: int = 32,
        layers: int = 3,
        unknown_rate: float = 0.0,
        gain: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.model_validate(spec)
        self.rows = dict(rows)
        self.units = units
        self.layers_per_stack = layers
        self.unknown_rate = unknown_rate
        self.gain = gain
        self.item_embedding = FeatureVector(
            self.spec.item, rows=rows, unknown_rate=unknown_rate, spread=gain / 4, name="item_embedding"
        )
        self.exposure_action = FeatureVector(self.spec.ie_action, rows={}, name="exposure_action")
        self.page_view_action = FeatureVector(self.spec.ipv_action, rows={}, name="page_view_action")
        self.hubsm_ie = BehaviourEncoder(units, layers, gain=gain, name="hubsm_ie")
        self.hubsm_ipv = BehaviourEncoder(units, layers, gain=gain, name="hubsm_ipv")
        self.crban = Crban(units, layers, gain=gain, name="crban")

    def build(self, input_shape: Any = None) -> None:
        item = (None, None, self.item_embedding.width)
        self.item_embedding.build()
        self.exposure_action.build()
        self.page_view_action.build()
        self.hubsm_ie.build((None, None, self.exposure_action.width), item)
        self.hubsm_ipv.build((None, None, self.page_view_action.width), item)
        self.crban.build(item)
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        exposures, page_views = inputs["exposures"], inputs["page_views"]
        return self.crban(
            self.item_embedding(**inputs["candidates"], training=training),
            inputs["candidate_length"],
            self.hubsm_ie(
                self.exposure_action(**exposures["action"]),
                self.item_embedding(**exposures["item"], training=training),
            ),
            exposures["length"],
            self.hubsm_ipv(
                self.page_view_action(**page_views["action"]),
                self.item_embedding(**page_views["item"], training=training),
            ),
            page_views["length"],
        )

    def input_signature(self) -> dict[str, Any]:
        """Shapes and types of `inputs` for a traced function: lengths are free, so one trace serves every batch."""

        def encoded(layer: FeatureVector) -> dict[str, tf.TensorSpec]:
            ids = len(layer.rows)
            numbers = sum(feature.kind == "raw" for feature in layer.features)
            codes = len(layer.features) - ids - numbers
            return {
                "ids": tf.TensorSpec((None, None, ids), tf.int32),
                "codes": tf.TensorSpec((None, None, codes), tf.uint8),
                "numbers": tf.TensorSpec((None, None, numbers), tf.float32),
            }

        length = tf.TensorSpec((None,), tf.int32)
        item = encoded(self.item_embedding)
        return {
            "candidates": item,
            "candidate_length": length,
            "exposures": {"action": encoded(self.exposure_action), "item": item, "length": length},
            "page_views": {"action": encoded(self.page_view_action), "item": item, "length": length},
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "spec": self.spec.model_dump(mode="json"),
            "rows": self.rows,
            "units": self.units,
            "layers": self.layers_per_stack,
            "unknown_rate": self.unknown_rate,
            "gain": self.gain,
        }
