"""Context-aware Reranking with Behavior Attention Networks (section 3.3), and what is left of it without some parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from edgerec.data.shards import EXPOSURES, PAGE_VIEWS
from edgerec.model.attention import BehaviourAttention
from edgerec.model.din import DinAttention
from edgerec.model.dlcm import last_state
from edgerec.model.gru_stack import GruStack
from edgerec.model.list_context import at_places

ATTENTION = {EXPOSURES: "exposure_attention", PAGE_VIEWS: "page_view_attention"}


@keras.saving.register_keras_serializable("edgerec")
class Crban(keras.layers.Layer):
    """Scores each candidate by itself, its list, and the behaviours it is like (eq. 9-11).

    ``c = GRU(candidates)``; the state after the last candidate is the local ranking context s; the attention reads
    exposures and page-views with c as query; ``logit = MLP(concat(c, s, context_ie, context_ipv))``.

    Without one kind of behaviour it is the paper's CRBAN with the other alone.

    Args:
        units: width of candidate encoding, attention and hidden layer.
        layers: depth of the candidate stack.
        kinds: the behaviours it reads: `exposures`, `page_views` or both.
        din: attend by `DinAttention` and not by `BehaviourAttention`.
        gain: see `GruStack`.

    Call arguments:
        candidates: (batch, k, item_dim).
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, s) int32, places of the candidates to score; the others are context.
        behaviours: by kind, fused encodings (batch, time, 2 * units) and how many are valid (batch,) int32.

    Returns:
        logits (batch, s) float32; for places beyond a list's length they mean nothing.
    """

    def __init__(
        self,
        units: int = 32,
        layers: int = 3,
        *,
        kinds: Sequence[str] = (EXPOSURES, PAGE_VIEWS),
        din: bool = False,
        gain: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        unknown = [kind for kind in kinds if kind not in ATTENTION]
        if unknown or not kinds:
            raise ValueError(f"`kinds` should be of {', '.join(ATTENTION)}. Received: {[*unknown, *kinds][:1]}")
        self.units = units
        self.layers = layers
        self.kinds = tuple(kinds)
        self.din = din
        self.gain = gain
        self.candidate_stack = GruStack(units, layers, gain=gain, name="candidate")
        attention = DinAttention if din else BehaviourAttention
        for kind in self.kinds:
            setattr(self, ATTENTION[kind], attention(units, name=ATTENTION[kind]))
        self.hidden = keras.layers.Dense(units, activation="relu", name="hidden")
        self.output_layer = keras.layers.Dense(1, name="output")

    def build(self, candidates_shape: Any, *rest: Any, **named: Any) -> None:
        batch, k = candidates_shape[:2]
        self.candidate_stack.build(candidates_shape)
        for kind in self.kinds:
            getattr(self, ATTENTION[kind]).build((batch, k, self.units), (batch, None, self.units))
        self.hidden.build((batch, k, (2 + 2 * len(self.kinds)) * self.units))
        self.output_layer.build((batch, k, self.units))
        self.built = True

    def call(
        self, candidates: Any, candidate_length: Any, scored: Any, behaviours: Mapping[str, tuple[Any, Any]]
    ) -> Any:
        encoded = self.candidate_stack(candidates)
        context = last_state(encoded, candidate_length)[:, None]
        encoded = at_places(encoded, scored)
        parts = [encoded, ops.broadcast_to(context, ops.shape(encoded))]
        for kind in self.kinds:
            fused, length = behaviours[kind]
            parts.append(getattr(self, ATTENTION[kind])(encoded, fused[..., : self.units], fused, length))
        return self.output_layer(self.hidden(ops.concatenate(parts, axis=-1)))[..., 0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "layers": self.layers,
            "kinds": list(self.kinds),
            "din": self.din,
            "gain": self.gain,
        }
