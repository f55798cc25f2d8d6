"""The list of candidates as context: numbers normalised within the list, and self-attention over the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import arrays, dense_weights

if TYPE_CHECKING:
    from edgerec.graphs.list_context import ListAttentionWeights

_SMALLEST_DEVIATION = 1e-3
"""If the standard deviation of a list's numbers is below this, the numbers count as equal. The standard deviation of a
feature over all candidates is about 1."""


def at_positions(candidates: Any, positions: Any) -> Any:
    """Select candidates by their positions in the lists.

    Args:
        candidates: (batch, k, dim), the lists.
        positions: (batch, s).

    Returns:
        (batch, s, dim).
    """
    # The gradient of a product with one-hot rows is a matrix product, which is many times as fast as a scatter.
    return ops.matmul(ops.one_hot(positions, ops.shape(candidates)[1], dtype=candidates.dtype), candidates)


def last_state(encoded: Any, length: Any) -> Any:
    """Return the state after the last valid candidate of each list. Shape (batch, units).

    Args:
        encoded: (batch, k, units), the state after each candidate.
        length: (batch,) int32, at least 1.
    """
    # A product with a one-hot row has the same result as a gather, and a cheaper gradient.
    last = ops.one_hot(length - 1, ops.shape(encoded)[1], dtype=encoded.dtype)
    return ops.matmul(last[:, None, :], encoded)[:, 0]


@keras.saving.register_keras_serializable("edgerec")
class ListNormalisation(keras.layers.Layer):
    """Normalisation of each number within its list: ``(x - mean) / standard deviation`` over the valid candidates.

    The result is 0 if all candidates of the list have the same number.

    Call arguments:
        inputs: (batch, k, numbers).
        length: (batch,) int32, at least 1.

    Returns:
        (batch, k, numbers). Values beyond a list's length have no meaning.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import ListNormalisation
        >>> numbers = np.random.normal(size=(2, 10, 3)).astype("float32")
        >>> tuple(ListNormalisation()(numbers, np.array([10, 4], "int32")).shape)
        (2, 10, 3)
    """

    def call(self, inputs: Any, length: Any) -> Any:
        valid = ops.cast(ops.arange(ops.shape(inputs)[1])[None, :] < length[:, None], "float32")[..., None]
        count = ops.cast(length, "float32")[:, None, None]
        centred = inputs
        # The second pass subtracts the rounding error of the mean. Without it, the division by a small standard
        # deviation could make this error a thousand times as large.
        for _ in range(2):
            centred = (centred - ops.sum(centred * valid, axis=1, keepdims=True) / count) * valid
        deviation = ops.sqrt(ops.sum(centred * centred, axis=1, keepdims=True) / count + _SMALLEST_DEVIATION**2)
        return centred / deviation


@keras.saving.register_keras_serializable("edgerec")
class ListAttention(keras.layers.Layer):
    """A block of self-attention over the candidates: ``x + MHA(norm(x))``, then ``x + MLP(norm(x))``.

    The block does not read the positions of the candidates. The model knows the served order from the scores by which
    the list was sorted. The block computes all candidates at once, while a GRU computes one after the other. Section
    3.3 allows any sequence encoder.

    Args:
        units: width of the encodings; a multiple of `heads`.
        heads: number of attention heads.

    Call arguments:
        inputs: (batch, k, units).
        length: (batch,) int32, at least 1.

    Returns:
        (batch, k, units).

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import ListAttention
        >>> candidates = np.random.normal(size=(2, 10, 8)).astype("float32")
        >>> tuple(ListAttention(units=8, heads=2)(candidates, np.array([10, 4], "int32")).shape)
        (2, 10, 8)

    Source: Pei et al., *Personalized Re-ranking for Recommendation*, RecSys 2019. The normalisation comes before each
    half, as in Xiong et al., *On Layer Normalization in the Transformer Architecture*, ICML 2020.
    """

    def __init__(self, units: int = 32, heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1 or heads < 1 or units % heads:
            raise ValueError(f"`units` should be a multiple of `heads`. Received: {units}, {heads}")
        self.units = units
        self.heads = heads
        self.first_norm = keras.layers.LayerNormalization(epsilon=1e-5, name="first_norm")
        self.projection = keras.layers.Dense(3 * units, name="projection")
        self.merge = keras.layers.Dense(units, name="merge")
        self.second_norm = keras.layers.LayerNormalization(epsilon=1e-5, name="second_norm")
        self.widen = keras.layers.Dense(2 * units, activation="relu", name="widen")
        self.narrow = keras.layers.Dense(units, name="narrow")

    def build(self, input_shape: Any, *rest: Any) -> None:
        for layer in (self.first_norm, self.projection, self.merge, self.second_norm, self.widen):
            layer.build(input_shape)
        self.narrow.build((*input_shape[:-1], 2 * self.units))
        self.built = True

    def call(self, inputs: Any, length: Any) -> Any:
        batch, k = ops.shape(inputs)[0], ops.shape(inputs)[1]
        width = self.units // self.heads
        parts = ops.reshape(self.projection(self.first_norm(inputs)), (batch, k, 3, self.heads, width))
        query, key, value = (parts[:, :, part] for part in range(3))
        scores = ops.einsum("bihd,bjhd->bhij", query, key) * width**-0.5
        valid = ops.arange(k)[None, :] < length[:, None]
        weights = ops.softmax(ops.where(valid[:, None, None, :], scores, -1e9), axis=-1)
        read = ops.reshape(ops.einsum("bhij,bjhd->bihd", weights, value), (batch, k, self.units))
        inputs = inputs + self.merge(read)
        return inputs + self.narrow(self.widen(self.second_norm(inputs)))

    def device_weights(self) -> ListAttentionWeights:
        """Return the weights for device graphs."""
        from edgerec.graphs.list_context import ListAttentionWeights

        first, second = (tuple(arrays(norm)) for norm in (self.first_norm, self.second_norm))
        return ListAttentionWeights(
            first_norm=first,
            projection=dense_weights(self.projection),
            merge=dense_weights(self.merge),
            second_norm=second,
            widen=dense_weights(self.widen),
            narrow=dense_weights(self.narrow),
            heads=self.heads,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "heads": self.heads}
