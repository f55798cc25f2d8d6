"""DIN attention over raw behaviours, which replaces HUBSM in an ablation of Table 2.

Source: Zhou et al., *Deep Interest Network for Click-Through Rate Prediction*, KDD 2018, section 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.device_weights import array, arrays, dense_weights
from edgerec.layers.encoder import Encoder

if TYPE_CHECKING:
    from edgerec.graphs.din import DinWeights, RawWeights
    from edgerec.layers.settings import ModelSettings


@keras.saving.register_keras_serializable("edgerec")
class DinAttention(keras.layers.Layer):
    """Attention of candidates over behaviours as in DIN, with weights that are not normalised.

    ``context_i = sum_j a(q_i, k_j) value_j``, where ``a`` is a small network of query, key and their product. The
    weights are not normalised, so the size of the context shows how similar a candidate is to the behaviours.
    There are two differences from DIN: the network has one hidden layer with ReLU instead of Dice, and each sum is
    divided by the square root of the sequence's length, so that a long history does not give a larger context only
    because it is long.

    Before its ReLU, the hidden layer is linear in query, key and product, so these three parts are computed separately.
    The query's part is computed once for each candidate, the key's part once for each behaviour, and the product's part
    by a matrix product.

    Args:
        units: dimension of queries and keys.
        hidden: width of the hidden layer.

    Call arguments:
        query: (batch, candidates, units).
        key: (batch, time, units).
        value: (batch, time, value_dim).
        length: (batch,) int32, number of valid behaviours.

    Returns:
        (batch, candidates, value_dim).

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import DinAttention
        >>> candidates = np.random.normal(size=(2, 10, 8)).astype("float32")
        >>> items = np.random.normal(size=(2, 50, 8)).astype("float32")
        >>> encodings = np.random.normal(size=(2, 50, 16)).astype("float32")
        >>> tuple(DinAttention(units=8)(candidates, items, encodings, np.array([50, 7], "int32")).shape)
        (2, 10, 16)
    """

    def __init__(self, units: int = 32, hidden: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = hidden
        self.query_part = keras.layers.Dense(hidden, name="query")
        self.key_part = keras.layers.Dense(hidden, use_bias=False, name="key")

    def build(self, query_shape: Any, key_shape: Any, *rest: Any) -> None:
        self.query_part.build(query_shape)
        self.key_part.build(key_shape)
        self.product_part = self.add_weight(
            shape=(self.hidden, self.units), initializer="glorot_uniform", name="product"
        )
        self.scale = self.add_weight(shape=(self.hidden,), initializer="glorot_uniform", name="scale")
        self.built = True

    def call(self, query: Any, key: Any, value: Any, length: Any) -> Any:
        batch, candidates, time = ops.shape(query)[0], ops.shape(query)[1], ops.shape(key)[1]
        # Each hidden unit has its own inner product of query and key, so this matrix product has the shapes
        # (batch, candidates * hidden, units) and (batch, units, time).
        weighted = ops.reshape(query[:, :, None, :] * self.product_part, (batch, -1, self.units))
        product = ops.reshape(ops.matmul(weighted, ops.transpose(key, (0, 2, 1))), (batch, candidates, -1, time))
        keys = ops.transpose(self.key_part(key), (0, 2, 1))[:, None]
        hidden = ops.relu(product + self.query_part(query)[..., None] + keys)
        weights = ops.sum(hidden * self.scale[:, None], axis=2)
        valid = ops.arange(time)[None, :] < ops.cast(length, "int32")[:, None]
        weights = ops.where(valid[:, None, :], weights, 0.0)
        share = ops.rsqrt(ops.maximum(ops.cast(length, "float32"), 1.0))
        return ops.matmul(weights, value) * share[:, None, None]

    def device_weights(self) -> DinWeights:
        """Return the weights for device graphs."""
        from edgerec.graphs.din import DinWeights

        query_kernel, query_bias = arrays(self.query_part)
        (key_kernel,) = arrays(self.key_part)
        return DinWeights(query_kernel, query_bias, key_kernel, array(self.product_part), array(self.scale))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "hidden": self.hidden}


@keras.saving.register_keras_serializable("edgerec")
class RawBehaviours(Encoder):
    """Encoder of one kind of behaviour without a recurrence: a dense layer for items and a dense layer for actions.

    It can replace `BehaviourEncoder`: arguments and result have the same form.

    Args:
        units: width of each dense layer.

    Call arguments:
        action: (batch, time, action_dim).
        item: (batch, time, item_dim).

    Returns:
        (batch, time, 2 * units): the item encodings, then the action encodings.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import RawBehaviours
        >>> actions = np.random.normal(size=(2, 50, 6)).astype("float32")
        >>> items = np.random.normal(size=(2, 50, 12)).astype("float32")
        >>> tuple(RawBehaviours(units=8)(actions, items).shape)
        (2, 50, 16)
    """

    def __init__(self, units: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.item = keras.layers.Dense(units, activation="tanh", name="item")
        self.action = keras.layers.Dense(units, activation="tanh", name="action")

    def build(self, action_shape: Any, item_shape: Any) -> None:
        self.action.build(action_shape)
        self.item.build(item_shape)
        self.built = True

    def call(self, action: Any, item: Any) -> Any:
        return ops.concatenate([self.item(item), self.action(action)], axis=-1)

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> RawBehaviours:
        return cls(settings.units, name=name)

    def device_weights(self) -> RawWeights:
        from edgerec.graphs.din import RawWeights

        return RawWeights(action=dense_weights(self.action), item=dense_weights(self.item))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
