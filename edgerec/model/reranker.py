"""The trained whole: ``ItemEmbedding -> HUBSM -> CRBAN``. Splitting it is taking it apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from edgerec.data.shards import EXPOSURES, PAGE_VIEWS
from edgerec.features.spec import FeatureSpec
from edgerec.model.attention import BehaviourAttention
from edgerec.model.crban import Crban
from edgerec.model.crban_plus import CrbanPlus
from edgerec.model.din import RawBehaviours
from edgerec.model.dlcm import Dlcm
from edgerec.model.dnn_rank import DnnRank
from edgerec.model.feature_vector import FeatureVector
from edgerec.model.gru_stack import GruStack
from edgerec.model.hubsm import BehaviourEncoder
from edgerec.model.registry import MODELS, Name

ENCODER = {EXPOSURES: "hubsm_ie", PAGE_VIEWS: "hubsm_ipv"}
ACTION = {EXPOSURES: "exposure_action", PAGE_VIEWS: "page_view_action"}


@keras.saving.register_keras_serializable("edgerec")
class Reranker(keras.Model):
    """Scores a request's candidates from their features and the user's behaviours (section 3).

    Args:
        spec: the feature specification.
        rows: rows of each embedding table, by name of feature.
        kind: which model of the registry.
        units: width of every recurrent layer, of the attention and of the hidden layer.
        layers: depth of every recurrent stack.
        unknown_rate: see `FeatureVector`.
        gain: how large weights begin: GRU kernels as `GruStack` has it, embedding tables with standard deviation
            ``gain / 4``.

    Call arguments:
        inputs: as `edgerec.model.batches.Batch.inputs`.

    Returns:
        logits (batch, s) of the candidates at `inputs["scored"]`.
    """

    def __init__(
        self,
        spec: FeatureSpec | Mapping[str, Any],
        *,
        rows: Mapping[str, int],
        kind: Name = "crban",
        units: int = 32,
        layers: int = 3,
        unknown_rate: float = 0.0,
        gain: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.model_validate(spec)
        self.rows = dict(rows)
        self.kind = kind
        self.units = units
        self.layers_per_stack = layers
        self.unknown_rate = unknown_rate
        self.gain = gain
        parts = MODELS[kind]
        self.kinds = parts.kinds
        self.item_embedding = FeatureVector(
            self.spec.item, rows=rows, unknown_rate=unknown_rate, spread=gain / 4, name="item_embedding"
        )
        self.exposure_action = FeatureVector(self.spec.ie_action, rows={}, name="exposure_action")
        self.page_view_action = FeatureVector(self.spec.ipv_action, rows={}, name="page_view_action")
        for each in self.kinds:
            name = ENCODER[each]
            encoder = (
                RawBehaviours(units, name=name)
                if parts.encoder == "raw"
                else BehaviourEncoder(units, layers, gain=gain, name=name)
            )
            setattr(self, name, encoder)
        if parts.ranker == "dnn":
            self.ranker: Any = DnnRank(units, name="dnn_rank")
        elif parts.ranker == "dlcm":
            self.ranker = Dlcm(units, layers, gain=gain, name="dlcm")
        elif parts.ranker == "crban_plus":
            heads = 1 if units % 2 else 2
            self.ranker = CrbanPlus(1 + len(self.spec.embeddings), units, heads=heads, name="crban_plus")
        else:
            self.ranker = Crban(units, layers, kinds=self.kinds, din=parts.encoder == "raw", gain=gain, name="crban")

    def build(self, input_shape: Any = None) -> None:
        item = (None, None, self.item_embedding.width)
        for layer in (self.item_embedding, self.exposure_action, self.page_view_action):
            layer.build()
        for each in self.kinds:
            getattr(self, ENCODER[each]).build((None, None, getattr(self, ACTION[each]).width), item)
        if isinstance(self.ranker, CrbanPlus):
            self.ranker.build(item, (None, None, _widths(self.item_embedding)["numbers"]))
        else:
            self.ranker.build(item)
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        candidates, scored = self.item_embedding(**inputs["candidates"], training=training), inputs["scored"]
        if isinstance(self.ranker, DnnRank):
            return self.ranker(candidates, scored)
        if isinstance(self.ranker, Dlcm):
            return self.ranker(candidates, inputs["candidate_length"], scored)
        behaviours = {each: self._encoded(each, inputs[each], training) for each in self.kinds}
        if not isinstance(self.ranker, CrbanPlus):
            return self.ranker(candidates, inputs["candidate_length"], scored, behaviours)
        matches = {each: (matches_of(inputs, each), inputs[each]["age"]) for each in self.kinds}
        numbers = inputs["candidates"]["numbers"]
        return self.ranker(candidates, numbers, inputs["candidate_length"], scored, behaviours, matches)

    def _encoded(self, kind: str, inputs: Mapping[str, Any], training: bool) -> tuple[Any, Any]:
        """Each request's window of fused encodings, and how much of it is valid."""
        action = getattr(self, ACTION[kind])(**inputs["action"])
        item = self.item_embedding(**inputs["item"], training=training)
        fused = getattr(self, ENCODER[kind])(action, item)
        return windows_of(fused, inputs["index"]), inputs["length"]

    def compile_kernels(self) -> None:
        """Let recurrences and attention be computed by `edgerec.model.kernels`; the function stays the same."""
        for layer in self._flatten_layers():
            if isinstance(layer, (GruStack, BehaviourAttention)):
                layer.compiled = True

    def input_signature(self) -> dict[str, Any]:
        """Shapes and types of `inputs` for a traced function: lengths are free, so one trace serves every batch."""

        def encoded(layer: FeatureVector) -> dict[str, tf.TensorSpec]:
            widths = _widths(layer)
            return {
                "ids": tf.TensorSpec((None, None, widths["ids"]), tf.int32),
                "codes": tf.TensorSpec((None, None, widths["codes"]), tf.uint8),
                "numbers": tf.TensorSpec((None, None, widths["numbers"]), tf.float32),
            }

        length = tf.TensorSpec((None,), tf.int32)
        whole = tf.TensorSpec((None, None), tf.int32)
        item = encoded(self.item_embedding)

        def behaviours(action: FeatureVector) -> dict[str, Any]:
            return {
                "action": encoded(action),
                "item": item,
                "row": whole,
                "index": whole,
                "age": tf.TensorSpec((None, None), tf.float32),
                "length": length,
            }

        return {
            "candidates": item,
            "candidate_row": whole,
            "scored": whole,
            "candidate_length": length,
            EXPOSURES: behaviours(self.exposure_action),
            PAGE_VIEWS: behaviours(self.page_view_action),
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "spec": self.spec.model_dump(mode="json"),
            "rows": self.rows,
            "kind": self.kind,
            "units": self.units,
            "layers": self.layers_per_stack,
            "unknown_rate": self.unknown_rate,
            "gain": self.gain,
        }


def _widths(layer: FeatureVector) -> dict[str, int]:
    """Columns of each array of encoded features that `layer` reads."""
    ids = len(layer.rows)
    numbers = sum(feature.kind == "raw" for feature in layer.features)
    return {"ids": ids, "codes": len(layer.features) - ids - numbers, "numbers": numbers}


def windows_of(stretches: Any, index: Any) -> Any:
    """What each request knows, (batch, time, ...), out of stretches (stretches, steps, ...) that requests share."""
    flat = ops.reshape(stretches, (-1, *ops.shape(stretches)[2:]))
    return ops.take(flat, index, axis=0)


def matches_of(inputs: Mapping[str, Any], kind: str) -> Any:
    """1 where candidate and behaviour are of one identity, (batch, identities, k, time) float32: the item first.

    Identities that no table has (row 0) match nothing: who knows whether they are the same.
    """
    behaviours = inputs[kind]
    index = behaviours["index"]
    valid = (ops.arange(ops.shape(index)[1])[None, :] < behaviours["length"][:, None])[:, None, :]
    pairs = [(inputs["candidate_row"], behaviours["row"], valid)]
    ids = inputs["candidates"]["ids"]
    for place in range(ids.shape[-1]):
        known = ids[..., place] > 0
        pairs.append((ids[..., place], behaviours["item"]["ids"][..., place], valid & known[:, :, None]))
    found = [(mine[:, :, None] == windows_of(theirs, index)[:, None, :]) & allowed for mine, theirs, allowed in pairs]
    return ops.cast(ops.stack(found, axis=1), "float32")
