"""Conversion of the weights of Keras layers to plain arrays, from which device graphs are built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgerec.core.errors import ConversionError

if TYPE_CHECKING:
    from edgerec.graphs.gru import GruWeights
    from edgerec.graphs.weights import DenseWeights


def array(variable: Any) -> Any:
    """Return a Keras variable as a float32 array."""
    return np.ascontiguousarray(variable.numpy(), dtype=np.float32)


def arrays(layer: Any) -> list[Any]:
    """Return the weights of a Keras layer as arrays. The seeds of its random generators are left out."""
    return [array(weight) for weight in layer.weights if "seed" not in weight.name]


def dense_weights(layer: Any) -> DenseWeights:
    """Return the weights of a `keras.layers.Dense` with a bias."""
    from edgerec.graphs.weights import DenseWeights

    return DenseWeights(*arrays(layer))


def gru_weights(layers: list[Any]) -> tuple[GruWeights, ...]:
    """Return the weights of `keras.layers.GRU` layers, the lowest layer first.

    Raises:
        ConversionError: MNN would compute a layer with these settings wrongly, without an error.
    """
    from edgerec.graphs.gru import GruWeights

    # MNN computes a GRU correctly only with these settings.
    supported = {"reset_after": True, "activation": "tanh", "recurrent_activation": "sigmoid", "go_backwards": False}
    for layer in layers:
        config = layer.get_config()
        for name, value in supported.items():
            if config[name] != value:
                raise ConversionError(
                    f"layer {layer.path}: {name} should be {value!r} for MNN; received {config[name]!r}"
                )
    return tuple(GruWeights(*arrays(layer)) for layer in layers)
