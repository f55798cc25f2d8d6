"""Scores of candidates and behaviours, and the contexts that they weigh, as parts of ranking graphs."""

from __future__ import annotations

import numpy as np

from edgerec.export.graphs.attention import SIGNS, AttentionForm
from edgerec.export.graphs.builder import GraphBuilder

# Below the smallest sum that one behaviour can give, so that it decides only where there is none.
NOTHING = 1e-30
# Added to the scores of padding before the largest is taken.
FAR_BELOW = 1e9


def add_context(
    graph: GraphBuilder,
    form: AttentionForm,
    encodings: str,
    kind: str,
    *,
    candidates: int,
    length: int,
    bias: str | None = None,
) -> str:
    """Add attention over the behaviours of a kind (eq. 10); answer the contexts' share of the hidden layer, `(k, h)`.

    Args:
        graph: the graph to add to.
        form: how the attention is computed.
        encodings: name of the candidates' encodings, `(k, units)`.
        kind: `exposure` or `page_view`; the inputs are `{kind}_keys`, `{kind}_values` and `{kind}_mask`.
        candidates: k.
        length: how many behaviours there are, padding included.
        bias: name of what is added to scores, `(k, length)`.
    """
    weighted = _exponentials(graph, form, encodings, kind, candidates, length, bias)
    total = graph.node("MatMul", weighted, f"{kind}_mask")
    # Not `Max`: its bound would be a constant, which half precision rounds to zero. A clip's bounds stay as they are.
    total = graph.node("Clip", total, graph.constant(np.float32(NOTHING)))
    return graph.node("Div", graph.node("MatMul", weighted, f"{kind}_values"), total)


def _exponentials(
    graph: GraphBuilder,
    form: AttentionForm,
    encodings: str,
    kind: str,
    candidates: int,
    length: int,
    bias: str | None,
) -> str:
    """Give `exp(score)` up to a factor a row, `(k, length)`: a softmax before its division."""
    query = graph.dense(encodings, form.query_kernel, form.query_bias)
    if not form.product:
        return _exponentials_by_tanh(graph, form, query, kind, candidates, length, bias)
    if form.fold is not None:
        query = graph.node("MatMul", graph.node("Relu", query), graph.constant(form.fold))
    # Exp comes after the transposition, so that MNN moves the data once and not once for each product.
    query = graph.node("Transpose", graph.reshape(query, (candidates, form.groups, SIGNS)), perm=[1, 0, 2])
    query = graph.node("Exp", query)
    keys = f"{kind}_keys"
    scaled = graph.node("Mul", keys, graph.constant(form.numerator[np.newaxis]))
    fraction = []
    for part in (scaled, keys):
        columns = graph.node("Transpose", part, perm=[1, 0])
        fraction.append(graph.node("MatMul", query, graph.reshape(columns, (form.groups, SIGNS, length))))
    quotient = graph.node("Div", *fraction)
    axis = graph.constant(np.array([0]))
    scores = graph.node("ReduceSum", quotient, axis, keepdims=0)
    return graph.node("Exp", graph.node("Add", scores, bias) if bias else scores)


def _exponentials_by_tanh(
    graph: GraphBuilder,
    form: AttentionForm,
    query: str,
    kind: str,
    candidates: int,
    length: int,
    bias: str | None,
) -> str:
    """The same by eq. 10 as it stands, for weights that the fraction cannot take."""
    query = graph.reshape(query, (candidates, 1, form.key_width))
    tanh = graph.node("Tanh", graph.node("Add", query, f"{kind}_keys"))
    scores = graph.node("MatMul", tanh, graph.constant(form.numerator[:, np.newaxis]))
    scores = graph.reshape(scores, (candidates, length))
    if bias:
        scores = graph.node("Add", scores, bias)
    mask = graph.reshape(f"{kind}_mask", (1, length))
    padding = graph.node("Mul", graph.node("Sub", mask, graph.constant(1.0)), graph.constant(FAR_BELOW))
    scores = graph.node("Add", scores, padding)
    return graph.node("Exp", graph.node("Sub", scores, graph.node("ReduceMax", scores, axes=[1], keepdims=1)))
