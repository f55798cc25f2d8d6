"""Context-aware Reranking with Behavior Attention Networks (section 3.3)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from edgerec.model.attention import BehaviourAttention
from edgerec.model.gru_stack import GruStack


@keras.saving.register_keras_serializable("edgerec")
class Crban(keras.layers.Layer):
    """Scores each candidate by itself, its list, and the behaviours it is like (eq. 9-11).

    ``c = GRU(candidates)``; the state after the last candidate is the local ranking context s; the attention reads
    exposures and page-views with c as query; ``logit = MLP(concat(c, s, context_ie, context_ipv))``.

    Args:
        units: width of candidate encoding, attention and hidden layer.
        layers: depth of the candidate stack.
        gain: see `GruStack`.

    Call arguments:
        candidates: (batch, k, item_dim).
        candidate_length: (batch,) int32, at least 1.
        exposures: pair of item encodings (batch, m, units) and fused encodings (batch, m, 2 * units).
        exposure_length: (batch,) int32.
        page_views: the same pair for page-views, (batch, n, ...).
        page_view_length: (batch,) int32.

    Returns:
        logits (batch, k) float32; beyond a list's length they mean nothing.
    """

    def __init__(self, units: int = 32, layers: int = 3, *, gain: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.layers = layers
        self.gain = gain
        self.candidate_stack = GruStack(units, layers, gain=gain, name="candidate")
        self.exposure_attention = BehaviourAttention(units, name="exposure_attention")
        self.page_view_attention = BehaviourAttention(units, name="page_view_attention")
        self.hidden = keras.layers.Dense(units, activation="relu", name="hidden")
        self.output_layer = keras.layers.Dense(1, name="output")

    def build(self, candidates_shape: Any, *rest: Any, **named: Any) -> None:
        batch, k = candidates_shape[:2]
        self.candidate_stack.build(candidates_shape)
        for attention in (self.exposure_attention, self.page_view_attention):
            attention.build((batch, k, self.units), (batch, None, self.units))
        self.hidden.build((batch, k, 6 * self.units))
        self.output_layer.build((batch, k, self.units))
        self.built = True

    def call(
        self,
        candidates: Any,
        candidate_length: Any,
        exposures: tuple[Any, Any],
        exposure_length: Any,
        page_views: tuple[Any, Any],
        page_view_length: Any,
    ) -> Any:
        encoded = self.candidate_stack(candidates)
        # The state after the last valid candidate, picked by a one-hot row: a gather that has a cheap gradient.
        last = ops.one_hot(candidate_length - 1, ops.shape(encoded)[1], dtype=encoded.dtype)
        context = ops.matmul(last[:, None, :], encoded)
        parts = [
            encoded,
            ops.broadcast_to(context, ops.shape(encoded)),
            self.exposure_attention(encoded, *exposures, exposure_length),
            self.page_view_attention(encoded, *page_views, page_view_length),
        ]
        return self.output_layer(self.hidden(ops.concatenate(parts, axis=-1)))[..., 0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "layers": self.layers, "gain": self.gain}
