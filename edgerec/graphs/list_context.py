"""Device graphs of the list context: numbers normalised within the list, and self-attention over the list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.weights import Array, DenseWeights

NORM_EPSILON = 1e-5
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True)
class ListAttentionWeights:
    """The weights of a block of self-attention over the list (`edgerec.layers.list_context.ListAttention`).

    Attributes:
        first_norm, second_norm: scale and offset (units,) of each normalisation.
        projection: dense layer of width `3 * units` for queries, keys and values. Each is divided into the heads.
        merge, widen, narrow: dense layers of width `units`, `2 * units` and `units`.
        heads: number of heads.
    """

    first_norm: tuple[Array, Array]
    projection: DenseWeights
    merge: DenseWeights
    second_norm: tuple[Array, Array]
    widen: DenseWeights
    narrow: DenseWeights
    heads: int


def add_list_normalisation(graph: GraphBuilder, x: str) -> str:
    """Add the normalisation of `x`, `(k, n)`. Each column is normalised by its mean and standard deviation.

    Both are computed over the valid candidates.
    """
    count = graph.node("ReduceSum", "valid", graph.constant(np.array([0])), keepdims=1)
    row = graph.node("Div", graph.node("Transpose", "valid", perm=[1, 0]), count)
    centred = x
    for _ in range(2):  # The mean is subtracted twice, as in `ListNormalisation`, which gives the reason.
        centred = graph.node("Mul", graph.node("Sub", centred, graph.node("MatMul", row, centred)), "valid")
    variance = graph.node("MatMul", row, graph.node("Mul", centred, centred))
    floor = graph.constant(np.full((1, 1), SMALLEST_DEVIATION**2))
    return graph.node("Div", centred, graph.node("Sqrt", graph.node("Add", variance, floor)))


def add_list_attention(
    graph: GraphBuilder, block: ListAttentionWeights, x: str, padding: str, *, candidates: int
) -> str:
    """Add a block of self-attention over the rows of `x`, `(k, units)`. `padding` is added to each row of scores."""
    units, heads = block.merge.width, block.heads
    width = units // heads
    normal = _layer_norm(graph, x, *block.first_norm)
    parts = []
    for part, (scale, perm) in enumerate(((width**-0.5, (1, 0, 2)), (1.0, (1, 2, 0)), (1.0, (1, 0, 2)))):
        columns = slice(part * units, (part + 1) * units)
        # The weights of the queries are multiplied by the scale factor of the scores.
        rows = graph.dense(normal, block.projection.kernel[:, columns] * scale, block.projection.bias[columns] * scale)
        parts.append(graph.node("Transpose", graph.reshape(rows, (candidates, heads, width)), perm=list(perm)))
    query, key, value = parts
    scores = graph.node("Add", graph.node("MatMul", query, key), padding)
    read = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)
    read = graph.reshape(graph.node("Transpose", read, perm=[1, 0, 2]), (candidates, units))
    x = graph.node("Add", x, graph.dense(read, block.merge.kernel, block.merge.bias))
    inner = graph.dense(_layer_norm(graph, x, *block.second_norm), block.widen.kernel, block.widen.bias, then="Relu")
    return graph.node("Add", x, graph.dense(inner, block.narrow.kernel, block.narrow.bias))


def _layer_norm(graph: GraphBuilder, x: str, scale: Array, offset: Array) -> str:
    names = [graph.constant(part) for part in (scale, offset)]
    return graph.node("LayerNormalization", x, *names, axis=-1, epsilon=NORM_EPSILON)
