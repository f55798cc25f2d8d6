"""Keras GRU weights as ONNX `GRU` nodes.

The nodes run forward in time, use tanh and sigmoid, and have `linear_before_reset=1`. MNN converts only this form
correctly. If the model is converted with `--useOriginRNNImpl`, MNN runs such a node as one native command.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgerec.core.errors import ShapeError
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.weights import Array, check_array


@dataclass(frozen=True)
class GruWeights:
    """The weights of one `keras.layers.GRU(reset_after=True)`, gates in the order z, r, h.

    Attributes:
        kernel: `(input, 3 * units)`.
        recurrent_kernel: `(units, 3 * units)`.
        bias: `(2, 3 * units)`, the input bias and the recurrent bias.

    Raises:
        ShapeError: the shapes do not fit each other, or a value is not finite float32.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array

    def __post_init__(self) -> None:
        check_array(self, "recurrent_kernel", (None, None))
        units, width = self.recurrent_kernel.shape
        check_array(self, "recurrent_kernel", (units, 3 * units))
        check_array(self, "kernel", (None, width))
        check_array(self, "bias", (2, width))

    @property
    def units(self) -> int:
        return int(self.recurrent_kernel.shape[0])

    @property
    def input_width(self) -> int:
        return int(self.kernel.shape[0])


GruStackWeights = tuple[GruWeights, ...]


def check_stack(owner: object, name: str) -> None:
    """Check that the attribute `name` of `owner` is a stack of GRU layers in which each layer reads the layer below.

    Raises:
        ShapeError: the attribute is not such a stack. The message names the attribute.
    """
    stack: GruStackWeights = getattr(owner, name)
    label = f"{type(owner).__name__}.{name}"
    if not stack:
        raise ShapeError(f"`{label}` should have at least one GRU layer. Received: no layer")
    for below, layer in pairwise(stack):
        if layer.input_width != below.units or layer.units != below.units:
            raise ShapeError(
                f"`{label}` should have layers of the same width, and each should read the layer below "
                f"({below.units} units). Received: a layer that reads {layer.input_width} units and has {layer.units}"
            )


def add_gru(graph: GraphBuilder, x: str, weights: GruWeights, *, initial: str | None = None) -> tuple[str, str]:
    """Add one GRU layer, `h_t = z_t * h_{t-1} + (1 - z_t) * tanh(x_t W + b + r_t * (h_{t-1} R + b_r))`.

    Keras stores kernels as `(input, 3 * units)`, ONNX as `(1, 3 * units, input)`; both have the gates in the order
    z, r, h. ONNX has both biases in one row. `reset_after=True` of Keras is `linear_before_reset=1` of ONNX.

    Args:
        graph: the graph to add to.
        x: name of the input, `(time, 1, input)`.
        weights: the layer.
        initial: name of the initial state, `(1, 1, units)`; default: zeros.

    Returns:
        The names of all outputs, `(time, 1, 1, units)`, and of the last output, `(1, 1, units)`.
    """
    inputs = [
        x,
        graph.constant(weights.kernel.T[np.newaxis]),
        graph.constant(weights.recurrent_kernel.T[np.newaxis]),
        graph.constant(weights.bias.reshape(1, -1)),
    ]
    if initial is not None:
        inputs += ["", initial]  # an empty name leaves out the optional input sequence_lens
    every, last = graph.nodes("GRU", *inputs, outputs=2, hidden_size=weights.units, linear_before_reset=1)
    return every, last


def add_gru_stack(graph: GraphBuilder, x: str, stack: GruStackWeights, *, time: int) -> str:
    """Add a stack of GRU layers that starts with zero states.

    Args:
        graph: the graph to add to.
        x: name of the input, `(time, 1, input)`.
        stack: the layers, the lowest first.
        time: number of steps, or -1 if the length of the input is not fixed.

    Returns:
        The name of the outputs of the top layer, `(time, units)`.
    """
    for layer in stack[:-1]:
        every, _ = add_gru(graph, x, layer)
        x = graph.reshape(every, (time, 1, layer.units))
    every, _ = add_gru(graph, x, stack[-1])
    return graph.reshape(every, (time, stack[-1].units))
