"""DNN-rank, the baseline of Table 2. It scores each candidate alone, from the features that the cloud knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from edgerec.layers.device_weights import dense_weights
from edgerec.layers.list_context import at_positions
from edgerec.layers.settings import ModelSettings
from edgerec.rankers.ranker import Ranker, RankInputs

if TYPE_CHECKING:
    from edgerec.rankers.dnn_rank_graph import DnnRankWeights


@keras.saving.register_keras_serializable("edgerec")
class DnnRank(Ranker):
    """Pointwise ranker, ``logit = MLP(x)``. It reads neither the rest of the list nor the behaviours.

    The paper names the baseline but gives no sizes. We chose two hidden layers, with widths `2 * units` and `units`.

    Args:
        units: width of the second hidden layer.

    Call arguments:
        candidates: (batch, k, item_dim).
        scored: (batch, s) int32, positions of the candidates to score.

    Returns:
        logits (batch, s).

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import DnnRank
        >>> candidates = np.random.normal(size=(2, 10, 12)).astype("float32")
        >>> scored = np.tile(np.arange(10), (2, 1))
        >>> tuple(DnnRank(units=8)(candidates, scored).shape)
        (2, 10)
    """

    layer_name = "dnn_rank"

    def __init__(self, units: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.first = keras.layers.Dense(2 * units, activation="relu", name="first")
        self.second = keras.layers.Dense(units, activation="relu", name="second")
        self.output_layer = keras.layers.Dense(1, name="output")

    def build(self, candidates_shape: Any, *rest: Any) -> None:
        leading = tuple(candidates_shape[:-1])
        self.first.build(candidates_shape)
        self.second.build((*leading, 2 * self.units))
        self.output_layer.build((*leading, self.units))
        self.built = True

    def call(self, candidates: Any, scored: Any) -> Any:
        return self._logits(self._last_hidden(candidates, scored))

    def _last_hidden(self, candidates: Any, scored: Any) -> Any:
        """Return what the output layer reads, (batch, s, units)."""
        return self.second(self.first(at_positions(candidates, scored)))

    def _logits(self, hidden: Any) -> Any:
        return self.output_layer(hidden)[..., 0]

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> DnnRank:
        return cls(settings.units, name=name)

    def rank(self, inputs: RankInputs) -> Any:
        return self(inputs.candidates, inputs.scored)

    def hidden_and_logits(self, inputs: RankInputs) -> tuple[Any, Any]:
        hidden = self._last_hidden(inputs.candidates, inputs.scored)
        return hidden, self._logits(hidden)

    def device_graph(self, settings: ModelSettings) -> DnnRankWeights:
        from edgerec.rankers.dnn_rank_graph import DnnRankWeights

        return DnnRankWeights(tuple(map(dense_weights, (self.first, self.second, self.output_layer))))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
