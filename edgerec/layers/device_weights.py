"""Weights of Keras layers as plain arrays, for the graphs of the device."""

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
    """Return the weights of a Keras layer, without the seeds of its random generators."""
    return [array(weight) for weight in layer.weights if "seed" not in weight.name]


def dense_weights(layer: Any) -> DenseWeights:
    """Return the weights of a `keras.layers.Dense` with a bias."""
    from edgerec.graphs.weights import DenseWeights

    return DenseWeights(*arrays(layer))


def gru_weights(layers: list[Any]) -> tuple[GruWeights, ...]:
    """Return the weights of `keras.layers.GRU` layers, lowest first.

    Raises:
        ConversionError: a layer of a form that MNN computes wrongly without an error.
    """
    from edgerec.graphs.gru import GruWeights

    # The candidate state before the reset gate, other activations, and backwards.
    wanted = {"reset_after": True, "activation": "tanh", "recurrent_activation": "sigmoid", "go_backwards": False}
    for layer in layers:
        config = layer.get_config()
        for name, value in wanted.items():
            if config[name] != value:
                raise ConversionError(
                    f"layer {layer.path}: {name} should be {value!r} for MNN; received {config[name]!r}"
                )
    return tuple(GruWeights(*arrays(layer)) for layer in layers)
