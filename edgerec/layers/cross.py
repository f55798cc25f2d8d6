"""Feature crosses: products of features, as in the low-rank cross network v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import array

if TYPE_CHECKING:
    from edgerec.graphs.cross import CrossWeights


@keras.saving.register_keras_serializable("edgerec")
class FeatureCross(keras.layers.Layer):
    """One layer of the low-rank cross network v2, ``x' = x_0 * (V U x + b) + x``.

    Here x_0 has the features and x is the output of the layer before, or x_0 in the first layer. ``*`` multiplies
    element by element. So the output of layer l contains products of up to l + 1 features. U, V and b are trained.
    V starts with small numbers, so the layer starts close to ``x' = x``.

    Args:
        rank: number of rows of U.

    Call arguments:
        first: (..., dim), the features x_0.
        inputs: (..., dim), the output x of the layer before.

    Returns:
        (..., dim).

    Raises:
        ValueError: `rank` is below 1.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import FeatureCross
        >>> features = np.random.normal(size=(2, 10, 12)).astype("float32")
        >>> crossed = features
        >>> for layer in [FeatureCross(rank=4), FeatureCross(rank=4)]:
        ...     crossed = layer(features, crossed)
        >>> tuple(crossed.shape)
        (2, 10, 12)

    Reference: Wang et al., *DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank
    Systems*, WWW 2021, eq. 1 and 2.
    """

    def __init__(self, rank: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rank < 1:
            raise ValueError(f"`rank` should be at least 1. Received: {rank}")
        self.rank = rank

    def build(self, first_shape: Any, *rest: Any) -> None:
        width = first_shape[-1]
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.down_kernel = self.add_weight(shape=(width, self.rank), initializer="glorot_uniform", name="down_kernel")
        self.up_kernel = self.add_weight(shape=(self.rank, width), initializer=small, name="up_kernel")
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
        self.built = True

    def call(self, first: Any, inputs: Any) -> Any:
        factors = ops.matmul(ops.matmul(inputs, self.down_kernel), self.up_kernel) + self.bias
        return first * factors + inputs

    def device_weights(self) -> CrossWeights:
        """Return the weights for device graphs."""
        from edgerec.graphs.cross import CrossWeights

        return CrossWeights(array(self.down_kernel), array(self.up_kernel), array(self.bias))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rank": self.rank}
