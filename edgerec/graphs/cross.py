"""Device graph of feature crosses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.weights import Array, check_array


@dataclass(frozen=True)
class CrossWeights:
    """The weights of one layer of feature crosses (`edgerec.layers.cross.FeatureCross`).

    Attributes:
        down_kernel: `(dim, rank)`.
        up_kernel: `(rank, dim)`.
        bias: `(dim,)`.

    Raises:
        ShapeError: the shapes do not fit each other, or a value is not finite float32.
    """

    down_kernel: Array
    up_kernel: Array
    bias: Array

    def __post_init__(self) -> None:
        check_array(self, "bias", (None,))
        check_array(self, "down_kernel", (self.bias.shape[0], None))
        check_array(self, "up_kernel", (self.down_kernel.shape[1], self.bias.shape[0]))


def add_crosses(graph: GraphBuilder, layers: Sequence[CrossWeights], features: str) -> str:
    """Add layers of feature crosses of the rows of `features`, `(k, dim)`. Without layers, return `features`.

    In the first layer x is x_0, so `x_0 * (V U x_0 + b) + x_0 = x_0 * (V U x_0 + b + 1)`. This saves an addition.
    """
    crossed = features
    for layer in layers:
        bias = layer.bias + 1 if crossed == features else layer.bias
        narrow = graph.node("MatMul", crossed, graph.constant(layer.down_kernel))
        product = graph.node("Mul", features, graph.dense(narrow, layer.up_kernel, bias))
        crossed = product if crossed == features else graph.node("Add", product, crossed)
    return crossed
