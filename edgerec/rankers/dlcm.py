"""DLCM, the baseline of the tests in Table 2. It reads the whole list of candidates, but no behaviours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import dense_weights
from edgerec.layers.gru_stack import GruStack
from edgerec.layers.list_context import at_positions, last_state
from edgerec.layers.settings import ModelSettings
from edgerec.rankers.ranker import Ranker, RankInputs

if TYPE_CHECKING:
    from edgerec.rankers.dlcm_graph import DlcmWeights


@keras.saving.register_keras_serializable("edgerec")
class Dlcm(Ranker):
    """DLCM. It scores each candidate from its encoding and from the context of the list.

    A GRU encodes the list, ``o = GRU(candidates)``, and its last state s is the context. Then
    ``logit = o . w(s) + b(s)``. A network with one hidden layer with tanh computes w and b. There are two differences
    from the source. The source reads the list from its end; here the GRU reads it in served order, as in CRBAN. The
    source has separate hidden units for each number of o; here all numbers share `4 * units` hidden units.

    Source: Ai et al., *Learning a Deep Listwise Context Model for Ranking Refinement*, SIGIR 2018, sections 4.2, 4.3.

    Args:
        units: width of the recurrent layers.
        layers: number of recurrent layers.
        gain: see `GruStack`.

    Call arguments:
        candidates: (batch, k, item_dim).
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, s) int32, positions of the candidates to score; the others are context.

    Returns:
        logits (batch, s) float32. Logits at positions beyond a list's length have no meaning.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import Dlcm
        >>> candidates = np.random.normal(size=(2, 10, 12)).astype("float32")
        >>> scored = np.tile(np.arange(10), (2, 1))
        >>> tuple(Dlcm(units=8, layers=1)(candidates, np.array([10, 4], "int32"), scored).shape)
        (2, 10)
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
        return self._hidden_and_logits(candidates, candidate_length, scored)[1]

    def _hidden_and_logits(self, candidates: Any, candidate_length: Any, scored: Any) -> tuple[Any, Any]:
        encoded = self.candidate_stack(candidates)
        context = last_state(encoded, candidate_length)
        weights = self.output_layer(self.hidden(context))[:, None, :]
        encoded = at_positions(encoded, scored)
        return encoded, ops.sum(encoded * weights[..., :-1], axis=-1) + weights[..., -1]

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> Dlcm:
        return cls(settings.units, settings.layers, gain=settings.gain, name=name)

    def rank(self, inputs: RankInputs) -> Any:
        return self(inputs.candidates, inputs.candidate_length, inputs.scored)

    def hidden_and_logits(self, inputs: RankInputs) -> tuple[Any, Any]:
        """Return the encodings o of the candidates, which the list weights with `w(s)`, and the logits."""
        return self._hidden_and_logits(inputs.candidates, inputs.candidate_length, inputs.scored)

    def device_graph(self, settings: ModelSettings) -> DlcmWeights:
        from edgerec.rankers.dlcm_graph import DlcmWeights

        return DlcmWeights(
            self.candidate_stack.device_weights(), dense_weights(self.hidden), dense_weights(self.output_layer)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "layers": self.layers, "gain": self.gain}
