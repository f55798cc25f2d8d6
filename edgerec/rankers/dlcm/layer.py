"""DLCM: each candidate by its place in the list, from what the cloud knows (the peer that Table 2 tests against)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import dense_weights
from edgerec.layers.gru_stack import GruStack
from edgerec.layers.list_context import at_places, last_state
from edgerec.layers.settings import ModelSettings
from edgerec.rankers.ranker import Ranker, RankInputs

if TYPE_CHECKING:
    from edgerec.rankers.dlcm.graph import DlcmWeights


@keras.saving.register_keras_serializable("edgerec")
class Dlcm(Ranker):
    """``o = GRU(candidates)``; the last state s weighs each output: ``logit = o . w(s) + b(s)``.

    w and b are a network of one hidden layer with tanh. Departures: the source reads the list from its end and has as
    many hidden units for each number of o; here the list is read in its order, as by CRBAN, with four times `units`
    for all of them.

    Source: Ai et al., *Learning a Deep Listwise Context Model for Ranking Refinement*, SIGIR 2018, sections 4.2, 4.3.

    Args:
        units: width of the recurrent layers.
        layers: how many.
        gain: see `GruStack`.

    Call arguments:
        candidates: (batch, k, item_dim).
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, s) int32, places of the candidates to score; the others are context.

    Returns:
        logits (batch, s) float32; for places beyond a list's length they mean nothing.
    """

    layer_name = "dlcm"

    def __init__(self, units: int = 32, layers: int = 3, *, gain: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.layers = layers
        self.gain = gain
        self.candidate_stack = GruStack(units, layers, gain=gain, name="candidate")
        self.hidden = keras.layers.Dense(4 * units, activation="tanh", name="hidden")
        self.output_layer = keras.layers.Dense(units + 1, name="output")

    def build(self, candidates_shape: Any, *rest: Any, **named: Any) -> None:
        batch = candidates_shape[0]
        self.candidate_stack.build(candidates_shape)
        self.hidden.build((batch, self.units))
        self.output_layer.build((batch, 4 * self.units))
        self.built = True

    def call(self, candidates: Any, candidate_length: Any, scored: Any) -> Any:
        encoded = self.candidate_stack(candidates)
        context = last_state(encoded, candidate_length)
        weights = self.output_layer(self.hidden(context))[:, None, :]
        return ops.sum(at_places(encoded, scored) * weights[..., :-1], axis=-1) + weights[..., -1]

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> Dlcm:
        return cls(settings.units, settings.layers, gain=settings.gain, name=name)

    def rank(self, inputs: RankInputs) -> Any:
        return self(inputs.candidates, inputs.candidate_length, inputs.scored)

    def device_graph(self, settings: ModelSettings) -> DlcmWeights:
        from edgerec.rankers.dlcm.graph import DlcmWeights

        return DlcmWeights(
            self.candidate_stack.device_weights(), dense_weights(self.hidden), dense_weights(self.output_layer)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "layers": self.layers, "gain": self.gain}
