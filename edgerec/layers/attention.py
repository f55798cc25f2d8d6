"""Bahdanau's additive attention of candidates over behaviours (section 3.3, eq. 9-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import array, arrays
from edgerec.layers.kernels.attention import FAR_BELOW, additive_attention
from edgerec.layers.kernels.form import Kernels

if TYPE_CHECKING:
    from edgerec.graphs.attention import AttentionWeights


@keras.saving.register_keras_serializable("edgerec")
class BehaviourAttention(keras.layers.Layer):
    """Additive attention of candidates over behaviours.

    The context of a candidate is a weighted sum of the behaviours' values, ``context_i = sum_j weights_ij value_j``,
    with ``weights_ij = softmax_j(v . tanh(W_q q_i + b + W_k k_j))``. Here q_i is the query of candidate i, k_j is the
    key of behaviour j, and W_q, b, W_k and v are trained. Behaviours beyond a sequence's length have weight 0. If there
    is no behaviour, the context is zero.

    Args:
        units: width to which queries and keys are projected.

    Call arguments:
        query: (batch, candidates, dim), the candidates' encodings.
        key: (batch, time, dim), the behaviours' item encodings.
        value: (batch, time, value_dim), the behaviours' fused encodings.
        length: (batch,) int32, number of valid behaviours.
        bias: (batch, candidates, time), added to the scores before the softmax; default: no bias.

    Returns:
        (batch, candidates, value_dim) float32.

    Attributes:
        kernels: what computes the layer: Keras, or the kernel `additive_attention`; see `GruStack`.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import BehaviourAttention
        >>> candidates = np.random.normal(size=(2, 10, 8)).astype("float32")
        >>> items = np.random.normal(size=(2, 50, 8)).astype("float32")
        >>> encodings = np.random.normal(size=(2, 50, 16)).astype("float32")
        >>> context = BehaviourAttention(units=8)(candidates, items, encodings, np.array([50, 7], "int32"))
        >>> tuple(context.shape)
        (2, 10, 16)

    Reference: Bahdanau, Cho and Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, 2015.
    """

    kernels: Kernels = "keras"

    def __init__(self, units: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` should be at least 1. Received: {units}")
        self.units = units
        self.query_projection = keras.layers.Dense(units, name="query")
        self.key_projection = keras.layers.Dense(units, use_bias=False, name="key")

    def build(self, query_shape: Any, key_shape: Any, *rest: Any) -> None:
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.scale = self.add_weight(shape=(self.units,), initializer="glorot_uniform", name="scale")
        self.built = True

    def call(self, query: Any, key: Any, value: Any, length: Any, bias: Any = None) -> Any:
        query, key = self.query_projection(query), self.key_projection(key)
        length = ops.cast(length, "int32")
        if self.kernels != "keras":
            bias = ops.zeros((ops.shape(query)[0], 1, 1)) if bias is None else bias
            scale, xla = ops.convert_to_tensor(self.scale), self.kernels == "xla"
            return additive_attention(query, key, scale, bias, value, length, xla=xla)
        scores = ops.sum(ops.tanh(query[:, :, None, :] + key[:, None, :, :]) * self.scale, axis=-1)
        scores = scores if bias is None else scores + bias
        valid = (ops.arange(ops.shape(value)[1])[None, :] < length[:, None])[:, None, :]
        weights = ops.where(valid, ops.softmax(ops.where(valid, scores, FAR_BELOW), axis=-1), 0.0)
        return ops.matmul(weights, value)

    def device_weights(self) -> AttentionWeights:
        """Return the weights for device graphs."""
        from edgerec.graphs.attention import AttentionWeights

        query_kernel, query_bias = arrays(self.query_projection)
        (key_kernel,) = arrays(self.key_projection)
        return AttentionWeights(query_kernel, query_bias, key_kernel, array(self.scale))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
