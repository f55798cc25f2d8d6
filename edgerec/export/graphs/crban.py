"""The ranker's graph: candidates and the stored encodings of behaviours in, one logit a candidate out."""

from __future__ import annotations

import numpy as np
import onnx

from edgerec.core.errors import ShapeError
from edgerec.export.graphs.attention import SIGNS, AttentionForm, attention_form
from edgerec.export.graphs.builder import GraphBuilder
from edgerec.export.graphs.gru import add_gru_stack
from edgerec.export.weights import CrbanWeights

# Below the smallest sum that one behaviour can give, so that it decides only where there is none.
NOTHING = 1e-30
# Added to the scores of padding before the largest is taken.
FAR_BELOW = 1e9


def build_crban(weights: CrbanWeights, *, candidates: int, exposures: int, page_views: int) -> onnx.ModelProto:
    """Build CRBAN (eq. 9-11) over what the step graphs stored of each behaviour.

    | name | shape | what |
    |---|---|---|
    | in `candidates` | `(k, 1, d_x)` | item features, padded on the right with anything finite |
    | in `last` | `(1, k)` | one-hot row of the last valid candidate |
    | in `exposure_keys` | `(m, key_width)` | `key` of each exposure's step; any finite positive number in padding |
    | in `exposure_values` | `(m, hidden)` | `value` of each exposure's step; zeros in padding |
    | in `exposure_mask` | `(m, 1)` | 1 for a behaviour, 0 for padding |
    | in `page_view_keys`, `page_view_values`, `page_view_mask` | n rows | the same for page-views |
    | out `logits` | `(k, 1)` | a logit for each candidate; means nothing in padding |

    Args:
        weights: the ranker.
        candidates: k, the length of the candidate list.
        exposures: m, how many exposures attention reads.
        page_views: n, how many page-views attention reads.

    Raises:
        ShapeError: a length is not positive.
    """
    lengths = {"exposure": exposures, "page_view": page_views}
    for label, length in {"candidates": candidates, **lengths}.items():
        if length < 1:
            raise ShapeError(f"`{label}` should have a length of at least 1. Received: {length}")
    head = weights.head
    width = weights.candidate[0].input_width
    forms = {"exposure": attention_form(weights.attention_ie), "page_view": attention_form(weights.attention_ipv)}

    graph = GraphBuilder()
    encodings = add_gru_stack(graph, "candidates", weights.candidate, time=candidates)
    local = graph.node("MatMul", graph.node("MatMul", "last", encodings), graph.constant(head.local_rows))
    hidden = graph.node(
        "Add",
        graph.node("MatMul", encodings, graph.constant(head.candidate_rows)),
        graph.node("Add", local, graph.constant(head.hidden_bias[np.newaxis])),
    )
    inputs: dict[str, tuple[int, ...]] = {"candidates": (candidates, 1, width), "last": (1, candidates)}
    for kind, form in forms.items():
        length = lengths[kind]
        weighted = _exponentials(graph, form, encodings, kind, candidates, length)
        total = graph.node("MatMul", weighted, f"{kind}_mask")
        total = graph.node("Max", total, graph.constant(np.full((1, 1), NOTHING)))
        context = graph.node("Div", graph.node("MatMul", weighted, f"{kind}_values"), total)
        hidden = graph.node("Add", hidden, context)
        inputs[f"{kind}_keys"] = (length, form.key_width)
        inputs[f"{kind}_values"] = (length, head.hidden)
        inputs[f"{kind}_mask"] = (length, 1)
    logits = graph.node("MatMul", graph.node("Relu", hidden), graph.constant(head.output_kernel))
    graph.node("Add", logits, graph.constant(head.output_bias[np.newaxis]), out="logits")
    return graph.model("crban", inputs, {"logits": (candidates, 1)})


def _exponentials(
    graph: GraphBuilder, form: AttentionForm, encodings: str, kind: str, candidates: int, length: int
) -> str:
    """Give `exp(score)` up to a factor a row, `(k, length)`: a softmax before its division."""
    query = graph.node("MatMul", encodings, graph.constant(form.query_kernel))
    query = graph.node("Add", query, graph.constant(form.query_bias[np.newaxis]))
    if not form.product:
        return _exponentials_by_tanh(graph, form, query, kind, candidates, length)
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
    return graph.node("Exp", graph.node("ReduceSum", quotient, axis, keepdims=0))


def _exponentials_by_tanh(
    graph: GraphBuilder, form: AttentionForm, query: str, kind: str, candidates: int, length: int
) -> str:
    """The same by eq. 10 as it stands, for weights that `fits_product` refuses."""
    query = graph.reshape(query, (candidates, 1, form.key_width))
    tanh = graph.node("Tanh", graph.node("Add", query, f"{kind}_keys"))
    scores = graph.node("MatMul", tanh, graph.constant(form.numerator[:, np.newaxis]))
    scores = graph.reshape(scores, (candidates, length))
    mask = graph.reshape(f"{kind}_mask", (1, length))
    bias = graph.node("Mul", graph.node("Sub", mask, graph.constant(1.0)), graph.constant(FAR_BELOW))
    scores = graph.node("Add", scores, bias)
    return graph.node("Exp", graph.node("Sub", scores, graph.node("ReduceMax", scores, axes=[1], keepdims=1)))
