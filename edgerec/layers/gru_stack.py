"""A stack of GRU layers, the recurrent network that the paper uses for each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import gru_weights
from edgerec.layers.kernels.form import Kernels
from edgerec.layers.kernels.recurrence import gru_recurrence

if TYPE_CHECKING:
    from edgerec.graphs.gru import GruWeights

UPDATE_BIAS = -2.0
"""Initial bias of the update gates. A gate starts at sigmoid(-2) = 0.12, so a state mostly contains the latest input.
With 0, the default of Keras, three layers mix each behaviour with the earlier ones, and the attention needs many
training steps to distinguish them (docs/training.md)."""


@keras.saving.register_keras_serializable("edgerec")
class GruStack(keras.layers.Layer):
    """A stack of GRU layers, ``h = GRU_n(... GRU_1(x))`` (section 3.2.2: three layers of 32 units).

    All layers have `reset_after=True`. ONNX calls this form ``linear_before_reset=1``. It is the only form that MNN
    computes correctly. Padding is on the right, after all valid steps, so it cannot change a valid state. The layer
    does not mask its output: the caller masks the steps beyond a sequence's length.

    Args:
        units: width of each layer.
        layers: number of layers.
        gain: scale of the initial input kernels. They are normally distributed with the standard deviation
            ``gain / sqrt(fan_in)``. With a small gain the model first learns coarse structure; with a large gain it
            soon learns fine details of the training data.

    Call arguments:
        inputs: (batch, time, dim) float32.

    Returns:
        (batch, time, units) float32, the state of the last layer after each step.

    Attributes:
        kernels: what computes the layers: "keras" (on a GPU that is cuDNN), or the kernel `gru_recurrence` as
            "plain" TensorFlow function or compiled by "xla". On a CPU, training with the kernel is faster than Keras.
            XLA is the fastest if many batches have the same few shapes. The result is the same.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import GruStack
        >>> inputs = np.random.normal(size=(2, 50, 12)).astype("float32")
        >>> tuple(GruStack(units=8, layers=2)(inputs).shape)
        (2, 50, 8)
    """

    kernels: Kernels = "keras"

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
                bias_initializer=_initial_bias,
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
        if self.kernels == "keras":
            for gru in self.grus:
                inputs = gru(inputs)
            return inputs
        states = ops.transpose(inputs, (1, 0, 2))
        for gru in self.grus:
            kernel, recurrent, bias = (ops.convert_to_tensor(weight) for weight in gru.cell.weights[:3])
            projected = ops.matmul(states, kernel) + bias[0]
            states = gru_recurrence(projected, recurrent, bias[1], xla=self.kernels == "xla")
        return ops.transpose(states, (1, 0, 2))

    def device_weights(self) -> tuple[GruWeights, ...]:
        """Return the weights for device graphs.

        Raises:
            ConversionError: MNN would compute a layer with these settings wrongly, without an error.
        """
        return gru_weights(self.grus)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "layers": self.layers, "gain": self.gain}


def _initial_bias(shape: tuple[int, int], dtype: Any = None) -> Any:
    """Return the initial bias (2, 3 * units): `UPDATE_BIAS` for the update gates, which come first, and 0 elsewhere."""
    update = ops.full((1, shape[1] // 3), UPDATE_BIAS, dtype)
    return ops.pad(update, ((0, shape[0] - 1), (0, shape[1] - shape[1] // 3)))
