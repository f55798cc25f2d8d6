"""DNN-rank: each candidate by itself, from what the cloud knows of it (the baseline of Table 2)."""

from __future__ import annotations

from typing import Any

import keras

from edgerec.model.list_context import at_places


@keras.saving.register_keras_serializable("edgerec")
class DnnRank(keras.layers.Layer):
    """``logit = MLP(x)``, pointwise: no list, no behaviour.

    The paper names the baseline and gives no sizes; two hidden layers, of twice `units` and `units`, are ours.

    Args:
        units: width of the second hidden layer.

    Call arguments:
        candidates: (batch, k, item_dim).
        scored: (batch, s) int32, places of the candidates to score.

    Returns:
        logits (batch, s).
    """

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
        return self.output_layer(self.second(self.first(at_places(candidates, scored))))[..., 0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
