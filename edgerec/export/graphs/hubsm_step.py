"""The step graph of a behaviour encoder: one behaviour and the state in, encodings and the new state out."""

from __future__ import annotations

import onnx

from edgerec.core.errors import ShapeError
from edgerec.export.graphs.attention import AttentionForm, attention_form
from edgerec.export.graphs.builder import GraphBuilder
from edgerec.export.graphs.gru import add_gru
from edgerec.export.weights import Array, AttentionWeights, HubsmWeights


def build_hubsm_step(
    weights: HubsmWeights, *, attention: AttentionWeights, value_kernel: Array, form: AttentionForm | None = None
) -> onnx.ModelProto:
    """Build one step of HUBSM (eq. 3-8) with all of CRBAN that depends on this behaviour alone (eq. 10, 11).

    | name | shape | what |
    |---|---|---|
    | in `action` | `(1, 1, d_a)` | the behaviour's action features |
    | in `item` | `(1, 1, d_x)` | the features of its item |
    | in `state` | `(2 * depth, 1, units)` | action layers lowest first, then item layers; zeros at first |
    | out `key` | `(key_width, 1)` | what attention needs of the item encoding `p`, see `attention.py` |
    | out `value` | `(hidden, 1)` | the fused encoding `[p, a]` through its rows of the head's first layer |
    | out `new_state` | `(2 * depth, 1, units)` | as `state` |

    The shapes are those that cost MNN no copy: time and batch axes for GRU nodes, columns for matrix-vector products.
    The head's first layer is linear in the contexts, so `sum_j w_j b_j W = sum_j w_j (b_j W)`: the product is taken
    here, once a behaviour, and halves what is stored of it.

    Args:
        weights: the encoder.
        attention: the attention that reads this kind of behaviour.
        value_kernel: `(2 * units, hidden)`, `HeadWeights.exposure_rows` or `page_view_rows`.
        form: how the ranking graph computes this attention; default: `attention_form`'s choice.

    Raises:
        ShapeError: `attention` or `value_kernel` is not made for encodings of this width.
    """
    units, depth = weights.units, weights.depth
    if attention.key_kernel.shape[0] != units:
        raise ShapeError(
            f"`attention` should have a key kernel of {units} rows. Received: {attention.key_kernel.shape[0]}"
        )
    if value_kernel.ndim != 2 or value_kernel.shape[0] != 2 * units:
        raise ShapeError(f"`value_kernel` should have {2 * units} rows. Received: shape {value_kernel.shape}")
    form = form or attention_form(attention)
    graph = GraphBuilder()
    states: list[str] = []
    tops: dict[str, str] = {}
    for name, stack in (("action", weights.action), ("item", weights.item)):
        x = name
        for layer in stack:
            _, x = add_gru(graph, x, layer, initial=graph.rows("state", len(states), len(states) + 1))
            states.append(x)
        tops[name] = x
    graph.node("Concat", *states, axis=0, out="new_state")

    encoding = graph.reshape(tops["item"], (units, 1))
    kernel = graph.constant(form.key_kernel.T)
    if form.product:
        graph.node("Exp", graph.node("MatMul", kernel, encoding), out="key")
    else:
        graph.node("MatMul", kernel, encoding, out="key")
    fused = graph.reshape(graph.node("Concat", tops["item"], tops["action"], axis=2), (2 * units, 1))
    graph.node("MatMul", graph.constant(value_kernel.T), fused, out="value")
    return graph.model(
        "hubsm_step",
        {
            "action": (1, 1, weights.action[0].input_width),
            "item": (1, 1, weights.item[0].input_width),
            "state": (2 * depth, 1, units),
        },
        {"key": (form.key_width, 1), "value": (value_kernel.shape[1], 1), "new_state": (2 * depth, 1, units)},
    )
