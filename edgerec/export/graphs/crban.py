"""CRBAN's ranking graph: candidates and the stored encodings of behaviours in, one logit a candidate out."""

from __future__ import annotations

import numpy as np
import onnx

from edgerec.core.errors import ShapeError
from edgerec.export.graphs.attention import attention_form
from edgerec.export.graphs.builder import GraphBuilder
from edgerec.export.graphs.din import add_din_context
from edgerec.export.graphs.gru import add_gru_stack
from edgerec.export.graphs.scores import add_context
from edgerec.export.weights import CrbanWeights, DinWeights


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

    A model that reads one kind of behaviour has the inputs of that kind alone.

    Args:
        weights: the ranker.
        candidates: k, the length of the candidate list.
        exposures: m, how many exposures attention reads.
        page_views: n, how many page-views attention reads.

    Raises:
        ShapeError: a length is not positive.
    """
    check_lengths(candidates=candidates, exposure=exposures, page_view=page_views)
    head = weights.head
    width = weights.candidate[0].input_width

    graph = GraphBuilder()
    encodings = add_gru_stack(graph, "candidates", weights.candidate, time=candidates)
    local = graph.node("MatMul", graph.node("MatMul", "last", encodings), graph.constant(head.local_rows))
    hidden = graph.node(
        "Add",
        graph.node("MatMul", encodings, graph.constant(head.candidate_rows)),
        graph.node("Add", local, graph.constant(head.hidden_bias[np.newaxis])),
    )
    inputs: dict[str, tuple[int, ...]] = {"candidates": (candidates, 1, width), "last": (1, candidates)}
    for kind, attention, length in (
        ("exposure", weights.attention_ie, exposures),
        ("page_view", weights.attention_ipv, page_views),
    ):
        if attention is None:
            continue
        if isinstance(attention, DinWeights):
            context = add_din_context(graph, attention, encodings, kind, candidates=candidates, length=length)
            key_width = sum(attention.product.shape)
        else:
            form = attention_form(attention)
            context = add_context(graph, form, encodings, kind, candidates=candidates, length=length)
            key_width = form.key_width
        hidden = graph.node("Add", hidden, context)
        inputs |= behaviour_inputs(kind, length, key_width, head.hidden)
    logits = graph.node("MatMul", graph.node("Relu", hidden), graph.constant(head.output_kernel))
    graph.node("Add", logits, graph.constant(head.output_bias[np.newaxis]), out="logits")
    return graph.model("crban", inputs, {"logits": (candidates, 1)})


def behaviour_inputs(kind: str, length: int, key_width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the inputs of one kind of behaviour."""
    return {f"{kind}_keys": (length, key_width), f"{kind}_values": (length, hidden), f"{kind}_mask": (length, 1)}


def check_lengths(**lengths: int) -> None:
    """Refuse a length below 1.

    Raises:
        ShapeError: names it.
    """
    for label, length in lengths.items():
        if length < 1:
            raise ShapeError(f"`{label}` should have a length of at least 1. Received: {length}")
