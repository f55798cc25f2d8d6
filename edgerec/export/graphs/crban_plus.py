"""CRBAN+'s ranking graph: exact matches, what stands in the list, self-attention, contexts of behaviours."""

from __future__ import annotations

import numpy as np
import onnx

from edgerec.export.graphs.attention import AttentionForm, attention_form
from edgerec.export.graphs.builder import GraphBuilder
from edgerec.export.graphs.crban import behaviour_inputs, check_lengths
from edgerec.export.graphs.scores import FAR_BELOW, add_context
from edgerec.export.ranker_weights import CrbanPlusWeights, ListAttentionWeights
from edgerec.export.weights import Array, AttentionWeights

HALF_LIVES_H = (1 / 12, 1.0, 24.0)
"""Of `edgerec.model.crban_plus`, restated: graphs are built without TensorFlow, and the proof holds both together."""
SIGNALS = 2 + len(HALF_LIVES_H)
NORM_EPSILON = 1e-5
SMALLEST_SPREAD = 1e-3


def plus_forms(weights: CrbanPlusWeights) -> dict[str, AttentionForm]:
    """How each kind's attention is computed, for step graphs and ranking graph alike."""

    def form(attention: AttentionWeights, bias: Array) -> AttentionForm:
        # The list encoder's outputs have no bound.
        return attention_form(attention, bounded=False, bias=float(np.abs(bias).sum()))

    return {
        "exposure": form(weights.attention_ie, weights.match_bias[0]),
        "page_view": form(weights.attention_ipv, weights.match_bias[1]),
    }


def build_crban_plus(weights: CrbanPlusWeights, *, candidates: int, exposures: int, page_views: int) -> onnx.ModelProto:
    """Build CRBAN+; beyond `build_crban`'s inputs and output, without `last`:

    | name | shape | what |
    |---|---|---|
    | in `valid` | `(k, 1)` | 1 for a candidate, 0 for padding |
    | in `exposure_match` | `(identities, k, m)` | 1 where candidate and behaviour are of one identity; 0 in padding |
    | in `exposure_age` | `(1, m)` | hours since each behaviour; not negative, 0 in padding |
    | in `page_view_match`, `page_view_age` | n behaviours | the same for page-views |

    Arguments and errors are those of `build_crban`.
    """
    check_lengths(candidates=candidates, exposure=exposures, page_view=page_views)
    lengths = {"exposure": exposures, "page_view": page_views}
    signals = 2 * weights.identities * SIGNALS
    width = weights.embed.kernel.shape[0] - 2 * signals - len(weights.number_columns)
    units, hidden_width = weights.units, weights.hidden.width

    graph = GraphBuilder()
    items = graph.reshape("candidates", (candidates, width))
    met = graph.node(
        "Concat",
        *(_signals(graph, kind, weights.identities, candidates, length) for kind, length in lengths.items()),
        axis=1,
    )
    standing = met
    if weights.number_columns:
        chosen = np.eye(width)[:, list(weights.number_columns)]
        standing = graph.node("Concat", graph.node("MatMul", items, graph.constant(chosen)), met, axis=1)
    wide = graph.node("Concat", items, met, _normalised(graph, standing), axis=1)
    encodings = graph.dense(wide, weights.embed.kernel, weights.embed.bias)
    padding = graph.node("Mul", graph.node("Sub", "valid", graph.constant(1.0)), graph.constant(FAR_BELOW))
    padding = graph.reshape(padding, (1, 1, candidates))
    for block in weights.blocks:
        encodings = _list_attention(graph, block, encodings, padding, candidates=candidates)

    own = graph.node("Concat", encodings, wide, axis=1)
    hidden = graph.dense(own, weights.hidden.kernel[: -4 * units], weights.hidden.bias)
    inputs: dict[str, tuple[int, ...]] = {"candidates": (candidates, 1, width), "valid": (candidates, 1)}
    for place, (kind, form) in enumerate(plus_forms(weights).items()):
        length = lengths[kind]
        match = graph.reshape(f"{kind}_match", (weights.identities, candidates * length))
        bias = graph.node("MatMul", graph.constant(weights.match_bias[place : place + 1]), match)
        context = add_context(
            graph,
            form,
            encodings,
            kind,
            candidates=candidates,
            length=length,
            bias=graph.reshape(bias, (candidates, length)),
        )
        hidden = graph.node("Add", hidden, context)
        inputs |= behaviour_inputs(kind, length, form.key_width, hidden_width)
        inputs[f"{kind}_match"] = (weights.identities, candidates, length)
        inputs[f"{kind}_age"] = (1, length)
    second = graph.dense(
        graph.node("Relu", hidden), weights.second_hidden.kernel, weights.second_hidden.bias, then="Relu"
    )
    logits = graph.dense(second, weights.output.kernel, weights.output.bias)
    graph.reshape(logits, (candidates, 1), out="logits")
    return graph.model("crban_plus", inputs, {"logits": (candidates, 1)})


def _signals(graph: GraphBuilder, kind: str, identities: int, candidates: int, length: int) -> str:
    """`match_signals` of every identity, `(k, identities * SIGNALS)`.

    The age of the last match is looked for once, as `r = 1 / (1 + age)`, of which every half-life h makes
    `1 / (1 + age / h) = r / (r (1 - 1 / h) + 1 / h)`: 0 where there is no match, as it should be.
    """
    match, one = f"{kind}_match", graph.constant(1.0)
    axis = graph.constant(np.array([2]))
    count = graph.node("ReduceSum", match, axis, keepdims=0)
    found = [graph.node("Log", graph.node("Add", count, one))]
    # Behaviours between a match and the request: the latest has none.
    known = graph.node("ReduceSum", f"{kind}_mask", graph.constant(np.array([0])), keepdims=1)
    since = graph.node("Sub", known, graph.constant(1.0 + np.arange(length)[np.newaxis]))
    since = graph.node("Max", since, graph.constant(np.zeros((1, 1))))
    nearest = []
    for distance in (since, f"{kind}_age"):
        nearness = graph.reshape(graph.node("Reciprocal", graph.node("Add", distance, one)), (1, 1, length))
        nearest.append(graph.node("ReduceMax", graph.node("Mul", match, nearness), axes=[2], keepdims=0))
    last, recent = nearest
    found.append(last)
    for half_life in HALF_LIVES_H:
        if half_life == 1:
            found.append(recent)
            continue
        slope, level = (graph.constant(value) for value in (1 - 1 / half_life, 1 / half_life))
        found.append(graph.node("Div", recent, graph.node("Add", graph.node("Mul", recent, slope), level)))
    parts = [graph.reshape(one_of, (1, identities, candidates)) for one_of in found]
    stacked = graph.node("Concat", *parts, axis=0)
    return graph.reshape(graph.node("Transpose", stacked, perm=[2, 1, 0]), (candidates, identities * SIGNALS))


def _normalised(graph: GraphBuilder, x: str) -> str:
    """Each column of `x` `(k, n)` less its mean over valid candidates, by its spread."""
    count = graph.node("ReduceSum", "valid", graph.constant(np.array([0])), keepdims=1)
    row = graph.node("Div", graph.node("Transpose", "valid", perm=[1, 0]), count)
    centred = x
    for _ in range(2):  # as the model, which says why
        centred = graph.node("Mul", graph.node("Sub", centred, graph.node("MatMul", row, centred)), "valid")
    variance = graph.node("MatMul", row, graph.node("Mul", centred, centred))
    floor = graph.constant(np.full((1, 1), SMALLEST_SPREAD**2))
    return graph.node("Div", centred, graph.node("Sqrt", graph.node("Add", variance, floor)))


def _list_attention(graph: GraphBuilder, block: ListAttentionWeights, x: str, padding: str, *, candidates: int) -> str:
    units, heads = block.merge.width, block.heads
    width = units // heads
    normal = _layer_norm(graph, x, *block.first_norm)
    parts = []
    for part, (scale, perm) in enumerate(((width**-0.5, (1, 0, 2)), (1.0, (1, 2, 0)), (1.0, (1, 0, 2)))):
        columns = slice(part * units, (part + 1) * units)
        # The scores' factor goes into the queries' weights.
        found = graph.dense(normal, block.projection.kernel[:, columns] * scale, block.projection.bias[columns] * scale)
        parts.append(graph.node("Transpose", graph.reshape(found, (candidates, heads, width)), perm=list(perm)))
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
