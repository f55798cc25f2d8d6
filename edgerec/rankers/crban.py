"""Context-aware Reranking with Behavior Attention Networks (section 3.3), and its ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.layers.attention import BehaviourAttention
from edgerec.layers.device_weights import arrays
from edgerec.layers.din import DinAttention
from edgerec.layers.gru_stack import GruStack
from edgerec.layers.list_context import at_positions, last_state
from edgerec.layers.settings import ModelSettings
from edgerec.rankers.ranker import Ranker, RankInputs

if TYPE_CHECKING:
    from edgerec.rankers.crban_graph import CrbanWeights


@keras.saving.register_keras_serializable("edgerec")
class Crban(Ranker):
    """CRBAN. It scores each candidate from the candidate, its list, and similar behaviours of the user (eq. 9-11).

    A GRU encodes the list, ``c = GRU(candidates)``. Its state after the last candidate is the local ranking context s.
    An attention reads exposures, and another reads page-views; c is the query of both. Then
    ``logit = MLP(concat(c, s, context_ie, context_ipv))``.

    With one kind of behaviour, it is the paper's CRBAN that reads only exposures or only page-views.

    Args:
        units: width of candidate encoding, attention and hidden layer.
        layers: depth of the candidate stack.
        kinds: the kinds of behaviour that the layer reads: `exposures`, `page_views` or both.
        din: use `DinAttention` instead of `BehaviourAttention`.
        gain: see `GruStack`.

    Call arguments:
        candidates: (batch, k, item_dim).
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, s) int32, positions of the candidates to score; the others are context.
        behaviours: for each kind, the fused encodings (batch, time, 2 * units), and the number of valid ones (batch,)
            int32.

    Returns:
        logits (batch, s) float32. Logits at positions beyond a list's length have no meaning.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import Crban
        >>> candidates = np.random.normal(size=(2, 10, 12)).astype("float32")
        >>> scored = np.tile(np.arange(10), (2, 1))
        >>> encodings = np.random.normal(size=(2, 50, 16)).astype("float32")
        >>> behaviours = {"exposures": (encodings, np.array([50, 7], "int32"))}
        >>> layer = Crban(units=8, layers=1, kinds=["exposures"])
        >>> tuple(layer(candidates, np.array([10, 4], "int32"), scored, behaviours).shape)
        (2, 10)
    """

    layer_name = "crban"

    def __init__(
        self,
        units: int = 32,
        layers: int = 3,
        *,
        kinds: Sequence[str] = ("exposures", "page_views"),
        din: bool = False,
        gain: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        known = {kind.plural: kind for kind in BEHAVIOUR_KINDS}
        unknown = [kind for kind in kinds if kind not in known]
        if unknown or not kinds:
            raise ValueError(
                f"`kinds` should name at least one of {', '.join(known)} and nothing else. Received: {list(kinds)}"
            )
        self.units = units
        self.layers = layers
        self.kinds = tuple(known[kind] for kind in kinds)
        self.din = din
        self.gain = gain
        self.candidate_stack = GruStack(units, layers, gain=gain, name="candidate")
        attention = DinAttention if din else BehaviourAttention
        for kind in self.kinds:
            setattr(self, f"{kind.name}_attention", attention(units, name=f"{kind.name}_attention"))
        self.hidden = keras.layers.Dense(units, activation="relu", name="hidden")
        self.output_layer = keras.layers.Dense(1, name="output")

    def attention_of(self, kind: BehaviourKind) -> Any:
        """Return the attention over one kind of behaviour."""
        return getattr(self, f"{kind.name}_attention")

    def build(self, candidates_shape: Any, *rest: Any, **named: Any) -> None:
        batch, k = candidates_shape[:2]
        self.candidate_stack.build(candidates_shape)
        for kind in self.kinds:
            self.attention_of(kind).build((batch, k, self.units), (batch, None, self.units))
        self.hidden.build((batch, k, (2 + 2 * len(self.kinds)) * self.units))
        self.output_layer.build((batch, k, self.units))
        self.built = True

    def call(
        self, candidates: Any, candidate_length: Any, scored: Any, behaviours: Mapping[str, tuple[Any, Any]]
    ) -> Any:
        return self._logits(self._last_hidden(candidates, candidate_length, scored, behaviours))

    def _last_hidden(
        self, candidates: Any, candidate_length: Any, scored: Any, behaviours: Mapping[str, tuple[Any, Any]]
    ) -> Any:
        """Return what the output layer reads, (batch, s, units)."""
        encoded = self.candidate_stack(candidates)
        context = last_state(encoded, candidate_length)[:, None]
        encoded = at_positions(encoded, scored)
        parts = [encoded, ops.broadcast_to(context, ops.shape(encoded))]
        for kind in self.kinds:
            fused, length = behaviours[kind.plural]
            parts.append(self.attention_of(kind)(encoded, fused[..., : self.units], fused, length))
        return self.hidden(ops.concatenate(parts, axis=-1))

    def _logits(self, hidden: Any) -> Any:
        return self.output_layer(hidden)[..., 0]

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str, din: bool = False) -> Crban:
        kinds = [kind.plural for kind in settings.behaviour_kinds]
        return cls(settings.units, settings.layers, kinds=kinds, din=din, gain=settings.gain, name=name)

    def rank(self, inputs: RankInputs) -> Any:
        return self(*_arguments(inputs))

    def hidden_and_logits(self, inputs: RankInputs) -> tuple[Any, Any]:
        hidden = self._last_hidden(*_arguments(inputs))
        return hidden, self._logits(hidden)

    def device_graph(self, settings: ModelSettings) -> CrbanWeights:
        from edgerec.rankers.crban_graph import CrbanWeights, HeadWeights

        hidden_kernel, hidden_bias = arrays(self.hidden)
        output_kernel, output_bias = arrays(self.output_layer)

        return CrbanWeights(
            candidate=self.candidate_stack.device_weights(),
            attentions={kind: self.attention_of(kind).device_weights() for kind in self.kinds},
            head=HeadWeights(hidden_kernel, hidden_bias, output_kernel, output_bias, contexts=len(self.kinds)),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "layers": self.layers,
            "kinds": [kind.plural for kind in self.kinds],
            "din": self.din,
            "gain": self.gain,
        }


def _arguments(inputs: RankInputs) -> tuple[Any, ...]:
    """Return the call arguments."""
    behaviours = {kind.plural: (window.fused, window.length) for kind, window in inputs.behaviours.items()}
    return inputs.candidates, inputs.candidate_length, inputs.scored, behaviours
