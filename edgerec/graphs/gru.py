"""Keras GRU weights as ONNX `GRU` nodes.

The nodes are forward, tanh/sigmoid and `linear_before_reset=1`: the only kind that MNN converts rightly and, told so by
`--useOriginRNNImpl`, runs as one native command.
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
    """One `keras.layers.GRU(reset_after=True)`, gates in the order z, r, h.

    Attributes:
        kernel: `(input, 3 * units)`.
        recurrent_kernel: `(units, 3 * units)`.
        bias: `(2, 3 * units)`, the input's and the recurrent bias.

    Raises:
        ShapeError: the shapes do not belong together, or a value is not finite float32.
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


GruStack = tuple[GruWeights, ...]


def check_stack(owner: object, name: str) -> None:
    """Refuse an attribute of `owner` that is no stack of layers, each reading the one below.

    Raises:
        ShapeError: names the attribute.
    """
    stack: GruStack = getattr(owner, name)
    label = f"{type(owner).__name__}.{name}"
    if not stack:
        raise ShapeError(f"`{label}` should have at least one GRU layer. Received: none")
    for below, layer in pairwise(stack):
        if layer.input_width != below.units or layer.units != below.units:
            raise ShapeError(
                f"`{label}` should have layers of one width, each reading the one below ({below.units} units). "
                f"Received: a layer from {layer.input_width} to {layer.units}"
            )


def add_gru(graph: GraphBuilder, x: str, weights: GruWeights, *, initial: str | None = None) -> tuple[str, str]:
    """Add one GRU layer, `h_t = z_t * h_{t-1} + (1 - z_t) * tanh(x_t W + b + r_t * (h_{t-1} R + b_r))`.

    Keras holds `(input, 3 * units)` in the gate order z, r, h; ONNX holds the same order as `(1, 3 * units, input)`,
    with both biases in one row. Keras's `reset_after=True` is ONNX's `linear_before_reset=1`.

    Args:
        graph: the graph to add to.
        x: name of the input, `(time, 1, input)`.
        weights: the layer.
        initial: name of the initial state, `(1, 1, units)`; zeros when not given.

    Returns:
        Names of all outputs, `(time, 1, 1, units)`, and of the last one, `(1, 1, units)`.
    """
    inputs = [
        x,
        graph.constant(weights.kernel.T[np.newaxis]),
        graph.constant(weights.recurrent_kernel.T[np.newaxis]),
        graph.constant(weights.bias.reshape(1, -1)),
    ]
    if initial is not None:
        inputs += ["", initial]  # the empty name stands for the optional sequence_lens
    every, last = graph.nodes("GRU", *inputs, outputs=2, hidden_size=weights.units, linear_before_reset=1)
    return every, last


def add_gru_stack(graph: GraphBuilder, x: str, stack: GruStack, *, time: int) -> str:
    """Add a stack of GRU layers from zero states; answer the top layer's outputs, `(time, units)`.

    Args:
        graph: the graph to add to.
        x: name of the input, `(time, 1, input)`.
        stack: the layers, lowest first.
        time: number of steps.
    """
    for layer in stack[:-1]:
        every, _ = add_gru(graph, x, layer)
        x = graph.reshape(every, (time, 1, layer.units))
    every, _ = add_gru(graph, x, stack[-1])
    return graph.reshape(every, (time, stack[-1].units))
