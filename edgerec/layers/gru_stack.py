"""The recurrent network under every sequence of the paper: a stack of GRU layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import gru_weights
from edgerec.layers.kernels.recurrence import gru_recurrence

if TYPE_CHECKING:
    from edgerec.graphs.gru import GruWeights

UPDATE_BIAS = -2.0
"""Update gates begin at sigmoid(-2) = 0.12, so a state is mostly what has just been read. At Keras' 0 three layers blur
each behaviour with those before it, and attention takes long to tell them apart (docs/training.md)."""


@keras.saving.register_keras_serializable("edgerec")
class GruStack(keras.layers.Layer):
    """``h = GRU_n(... GRU_1(x))`` (section 3.2.2: three layers of 32 units).

    `reset_after=True` throughout: it is the form that ONNX calls ``linear_before_reset=1`` and the only one that MNN
    computes rightly. Padding is on the right, so it comes after everything valid and cannot move a valid state; whoever
    reads the outputs masks what lies beyond a sequence's length.

    Args:
        units: width of each layer.
        layers: how many.
        gain: input kernels begin normal with standard deviation ``gain / sqrt(fan_in)``. With a small one coarse
            structure is learnt first; with a large one fine details of the training data soon show.

    Call arguments:
        inputs: (batch, time, dim) float32.

    Returns:
        (batch, time, units) float32, the last layer's state after each step.

    Attributes:
        compiled: whether layers run through `gru_recurrence`, which pays where many batches of few shapes follow each
            other, and not as Keras runs them (on a GPU: by cuDNN). The function is the same.
    """

    compiled = False

    def __init__(self, units: int = 32, layers: int = 3, *, gain: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1 or layers < 1:
            raise ValueError(f"`units` and `layers` should be at least 1. Received: {units}, {layers}")
        if not gain > 0:
            raise ValueError(f"`gain` should be above 0. Received: {gain}")
        self.units = units
        self.layers = layers
        self.gain = gain
        kernel = keras.initializers.VarianceScaling(gain**2, mode="fan_in")
        self.grus = [
            keras.layers.GRU(
                units,
                return_sequences=True,
                kernel_initializer=kernel.clone(),
                bias_initializer=_first_bias,
                name=f"gru_{i}",
            )
            for i in range(layers)
        ]

    def build(self, input_shape: Any) -> None:
        for gru in self.grus:
            gru.build(input_shape)
            input_shape = (*input_shape[:-1], self.units)
        self.built = True

    def call(self, inputs: Any) -> Any:
        if not self.compiled:
            for gru in self.grus:
                inputs = gru(inputs)
            return inputs
        states = ops.transpose(inputs, (1, 0, 2))
        for gru in self.grus:
            kernel, recurrent, bias = (ops.convert_to_tensor(weight) for weight in gru.cell.weights[:3])
            states = gru_recurrence(ops.matmul(states, kernel) + bias[0], recurrent, bias[1])
        return ops.transpose(states, (1, 0, 2))

    def device_weights(self) -> tuple[GruWeights, ...]:
        """Return the weights for device graphs.

        Raises:
            ConversionError: a layer of a form that MNN computes wrongly without an error.
        """
        return gru_weights(self.grus)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "layers": self.layers, "gain": self.gain}


def _first_bias(shape: tuple[int, int], dtype: Any = None) -> Any:
    """Zeros (2, 3 * units), but `UPDATE_BIAS` for update gates, which come first."""
    update = ops.full((1, shape[1] // 3), UPDATE_BIAS, dtype)
    return ops.pad(update, ((0, shape[0] - 1), (0, shape[1] - shape[1] // 3)))
