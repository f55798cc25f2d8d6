"""Device graphs of the list context: numbers normalised within the list, and self-attention over the list.

MNN computes a softmax row by row. That takes four times as long as the exponentials in one command. So self-attention
uses exponentials: with `valid` 1 for candidates and 0 for padding, `softmax(s) v = (e^s (valid * v)) / (e^s valid)`. A
softmax also subtracts the largest score of each row, so that no exponential overflows. Here the weights alone show that
none can (`ListAttentionWeights.largest_score`). For weights that do not show it, the graph computes the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.graphs.attention import FAR_BELOW, LARGEST_SCORE
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

    def largest_score(self) -> float:
        """Return an upper bound of the absolute value of every attention score, for any list.

        A normalised candidate `n` has at most the length `sqrt(units)`. With `q = n A + a` and `k = m B + b`, a score
        is `q.k = n A B' m' + n A b' + m B a' + a.b'`. The spectral norm of `A B'` and the lengths of the vectors `A b'`
        and `B a'` bound it.
        """
        units = self.merge.width
        gain, shift = (part.astype(np.float64) for part in self.first_norm)
        kernel = gain[:, np.newaxis] * self.projection.kernel
        offset = shift @ self.projection.kernel + self.projection.bias
        bounds = []
        for head in range(self.heads):
            queries, keys = (slice(start, start + units // self.heads) for start in self._columns(head))
            query, key = kernel[:, queries], kernel[:, keys]
            sides = np.linalg.norm(query @ offset[keys]) + np.linalg.norm(key @ offset[queries])
            product = units * np.linalg.norm(query @ key.T, 2)
            bounds.append(product + np.sqrt(units) * sides + np.abs(offset[queries] @ offset[keys]))
        return float(max(bounds) * self.scale)

    @property
    def scale(self) -> float:
        """The factor of the scores: 1 by the square root of the width of a head."""
        return float((self.merge.width // self.heads) ** -0.5)

    def _columns(self, head: int) -> tuple[int, int]:
        """Return the first column of the projection for the queries and for the keys of a head."""
        first = head * self.merge.width // self.heads
        return first, self.merge.width + first


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


def add_list_attention(graph: GraphBuilder, block: ListAttentionWeights, x: str, *, candidates: int) -> str:
    """Add a block of self-attention over the rows of `x`, `(k, units)`. The input `valid` marks the candidates."""
    units = block.merge.width
    normal = _layer_norm(graph, x, *block.first_norm)
    parts = []
    for part in range(3):
        columns = slice(part * units, (part + 1) * units)
        # The weights of the queries are multiplied by the scale factor of the scores.
        factor = 1.0 if part else block.scale
        parts.append(
            graph.dense(normal, block.projection.kernel[:, columns] * factor, block.projection.bias[columns] * factor)
        )
    query, key, value = parts
    query, key = _heads(graph, block, query, candidates), _heads(graph, block, key, candidates, perm=(1, 2, 0))
    scores = graph.node("MatMul", query, key)
    read_values = _read_by_exponentials if block.largest_score() <= LARGEST_SCORE else _read_by_softmax
    read = read_values(graph, block, scores, value, candidates)
    read = graph.reshape(graph.node("Transpose", read, perm=[1, 0, 2]), (candidates, units))
    x = graph.node("Add", x, graph.dense(read, block.merge.kernel, block.merge.bias))
    inner = graph.dense(_layer_norm(graph, x, *block.second_norm), block.widen.kernel, block.widen.bias, then="Relu")
    return graph.node("Add", x, graph.dense(inner, block.narrow.kernel, block.narrow.bias))


def _heads(
    graph: GraphBuilder, block: ListAttentionWeights, rows: str, candidates: int, *, perm: tuple[int, ...] = (1, 0, 2)
) -> str:
    """Divide the rows `(k, units)` into the heads: `(heads, k, width)`, or another order of axes by `perm`."""
    width = block.merge.width // block.heads
    return graph.node("Transpose", graph.reshape(rows, (candidates, block.heads, width)), perm=list(perm))


def _read_by_exponentials(
    graph: GraphBuilder, block: ListAttentionWeights, scores: str, value: str, candidates: int
) -> str:
    """Add the attention over the values `(k, units)` for the scores `(heads, k, k)`. Shape `(heads, k, width)`."""
    exponentials = graph.node("Exp", scores)
    total = graph.node("MatMul", graph.reshape(exponentials, (block.heads * candidates, candidates)), "valid")
    valid_values = _heads(graph, block, graph.node("Mul", value, "valid"), candidates)
    read = graph.node("MatMul", exponentials, valid_values)
    return graph.node("Div", read, graph.reshape(total, (block.heads, candidates, 1)))


def _read_by_softmax(graph: GraphBuilder, block: ListAttentionWeights, scores: str, value: str, candidates: int) -> str:
    """Add the same as `_read_by_exponentials`, for scores of any size."""
    padding = graph.node("Mul", graph.node("Sub", "valid", graph.constant(1.0)), graph.constant(FAR_BELOW))
    scores = graph.node("Add", scores, graph.reshape(padding, (1, 1, candidates)))
    return graph.node("MatMul", graph.node("Softmax", scores, axis=-1), _heads(graph, block, value, candidates))


def _layer_norm(graph: GraphBuilder, x: str, scale: Array, offset: Array) -> str:
    names = [graph.constant(part) for part in (scale, offset)]
    return graph.node("LayerNormalization", x, *names, axis=-1, epsilon=NORM_EPSILON)
