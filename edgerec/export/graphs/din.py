"""DIN attention on the device: behaviours by themselves, no state, weights that are not normalised."""

from __future__ import annotations

import numpy as np
import onnx

from edgerec.core.errors import ShapeError
from edgerec.export.graphs.builder import GraphBuilder
from edgerec.export.weights import Array, DinWeights, RawWeights


def build_raw_step(weights: RawWeights, *, attention: DinWeights, value_kernel: Array) -> onnx.ModelProto:
    """Build what is computed once a behaviour where there is no recurrence: the step graph without a state.

    | name | shape | what |
    |---|---|---|
    | in `action` | `(1, 1, d_a)` | the behaviour's action features |
    | in `item` | `(1, 1, d_x)` | the features of its item |
    | out `key` | `(units + h, 1)` | the item's encoding p, and its part `p Wk` of the attention's hidden layer |
    | out `value` | `(hidden, 1)` | `[p, a]` through its rows of the head's first layer |

    Args:
        weights: the encoder.
        attention: the attention that reads this kind of behaviour.
        value_kernel: `(2 * units, hidden)`, `HeadWeights.exposure_rows` or `page_view_rows`.

    Raises:
        ShapeError: `attention` or `value_kernel` is not made for encodings of this width.
    """
    units = weights.units
    if attention.key_kernel.shape[0] != units or value_kernel.shape[0] != 2 * units:
        raise ShapeError(
            f"`attention` and `value_kernel` should read encodings of {units} units. "
            f"Received: {attention.key_kernel.shape[0]} and {value_kernel.shape[0] // 2}"
        )
    graph = GraphBuilder()
    encoded = {}
    for name, layer in (("action", weights.action), ("item", weights.item)):
        row = graph.reshape(name, (1, layer.kernel.shape[0]))
        encoded[name] = graph.dense(row, layer.kernel, layer.bias, then="Tanh")
    part = graph.node("MatMul", encoded["item"], graph.constant(attention.key_kernel))
    key = graph.node("Concat", encoded["item"], part, axis=1)
    hidden, width = attention.scale.shape[0], value_kernel.shape[1]
    graph.reshape(key, (units + hidden, 1), out="key")
    fused = graph.node("Concat", encoded["item"], encoded["action"], axis=1)
    graph.reshape(graph.node("MatMul", fused, graph.constant(value_kernel)), (width, 1), out="value")
    return graph.model(
        "raw_step",
        {"action": (1, 1, weights.action.kernel.shape[0]), "item": (1, 1, weights.item.kernel.shape[0])},
        {"key": (units + hidden, 1), "value": (width, 1)},
    )


def add_din_context(
    graph: GraphBuilder, weights: DinWeights, encodings: str, kind: str, *, candidates: int, length: int
) -> str:
    """Add DIN attention over the behaviours of a kind; arguments and answer are those of `add_context`."""
    hidden, units = weights.product.shape
    keys = f"{kind}_keys"
    bounds = [graph.constant(np.array([value])) for value in (0, units, units + hidden, 1)]
    encoded = graph.node("Slice", keys, bounds[0], bounds[1], bounds[3])
    part = graph.node("Slice", keys, bounds[1], bounds[2], bounds[3])
    # (k, h, units): every hidden unit has an inner product of its own.
    weighted = graph.node(
        "Mul", graph.reshape(encodings, (candidates, 1, units)), graph.constant(weights.product[np.newaxis])
    )
    weighted = graph.reshape(weighted, (candidates * hidden, units))
    product = graph.node("MatMul", weighted, graph.node("Transpose", encoded, perm=[1, 0]))
    query = graph.dense(encodings, weights.query_kernel, weights.query_bias)
    inner = graph.node(
        "Add", graph.reshape(product, (candidates, hidden, length)), graph.reshape(query, (candidates, hidden, 1))
    )
    inner = graph.node("Add", inner, graph.reshape(graph.node("Transpose", part, perm=[1, 0]), (1, hidden, length)))
    scaled = graph.node("Mul", graph.node("Relu", inner), graph.constant(weights.scale[np.newaxis, :, np.newaxis]))
    scores = graph.node("ReduceSum", scaled, graph.constant(np.array([1])), keepdims=0)
    scores = graph.node("Mul", scores, graph.reshape(f"{kind}_mask", (1, length)))
    count = graph.node("ReduceSum", f"{kind}_mask", graph.constant(np.array([0])), keepdims=1)
    share = graph.node("Sqrt", graph.node("Max", count, graph.constant(np.ones((1, 1)))))
    return graph.node("Div", graph.node("MatMul", scores, f"{kind}_values"), share)
