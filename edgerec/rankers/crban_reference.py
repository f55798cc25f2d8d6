"""Graphs of the paper's full model, with the operations of the equations.

A benchmark runs these graphs in ONNX Runtime and compares them with the device graphs. No device runs them. A behaviour
is stored as its attention key `p Wk` and its fused encoding `[p, a]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx

from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.attention import AttentionWeights
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.gru import add_gru, add_gru_stack
from edgerec.graphs.hubsm_step import HubsmWeights

if TYPE_CHECKING:
    from edgerec.rankers.crban_graph import CrbanWeights

FAR_BELOW = 1e9


def build_reference_step(weights: HubsmWeights, *, attention: AttentionWeights) -> onnx.ModelProto:
    """Build the graph of one HUBSM step (eq. 3-8).

    The inputs are those of `HubsmWeights.step`. The outputs are `key` = `p Wk`, `(1, units)`; `fused` = `[p, a]`,
    `(1, 2 * units)`; and `new_state`, `(2 * depth, 1, units)`.
    """
    units, rows = weights.units, 2 * weights.depth
    graph = GraphBuilder()
    states: list[str] = []
    tops: list[str] = []
    for name, stack in (("action", weights.action), ("item", weights.item)):
        x = name
        for layer in stack:
            _, x = add_gru(graph, x, layer, initial=graph.rows("state", len(states), len(states) + 1))
            states.append(x)
        tops.append(graph.reshape(x, (1, units)))
    action, item = tops
    graph.node("MatMul", item, graph.constant(attention.key_kernel), out="key")
    graph.node("Concat", item, action, axis=1, out="fused")
    graph.node("Concat", *states, axis=0, out="new_state")
    return graph.model(
        "hubsm_step_reference",
        {
            "action": (1, 1, weights.action[0].input_width),
            "item": (1, 1, weights.item[0].input_width),
            "state": (rows, 1, units),
        },
        {
            "key": (1, attention.key_kernel.shape[1]),
            "fused": (1, 2 * units),
            "new_state": (rows, 1, units),
        },
    )


def build_reference_sequence(weights: HubsmWeights, *, attention: AttentionWeights) -> onnx.ModelProto:
    """Build the graph that encodes a whole sequence of behaviours from its start (eq. 3-8).

    The inputs are `action` `(length, 1, d_a)` and `item` `(length, 1, d_x)`. The outputs are `key`, `(length, units)`,
    and `fused`, `(length, 2 * units)`. The length is not fixed.
    """
    graph = GraphBuilder()
    item, action = (add_gru_stack(graph, name, getattr(weights, name), time=-1) for name in ("item", "action"))
    graph.node("MatMul", item, graph.constant(attention.key_kernel), out="key")
    graph.node("Concat", item, action, axis=1, out="fused")
    return graph.model(
        "hubsm_sequence_reference",
        {
            "action": ("length", 1, weights.action[0].input_width),
            "item": ("length", 1, weights.item[0].input_width),
        },
        {"key": ("length", attention.key_kernel.shape[1]), "fused": ("length", 2 * weights.units)},
    )


def build_reference_crban(
    weights: CrbanWeights, attentions: Mapping[BehaviourKind, AttentionWeights], limits: Limits
) -> onnx.ModelProto:
    """Build the ranking graph of CRBAN as in eq. 9-11.

    The scores of the attention are `v . tanh(c Wq + bq + key)`. The softmax of the scores weights the fused encodings.
    The inputs are those of `CrbanWeights.build` with two differences: `keys` are `(length, units)`, and `fused`,
    `(length, 2 * units)`, replaces `values`. The padding of both is zero. `logits` is `(candidates, 1)`.
    """
    candidates = limits.candidates
    head, units = weights.head, weights.head.units
    width = weights.candidate[0].input_width
    graph = GraphBuilder()
    encodings = add_gru_stack(graph, "candidates", weights.candidate, time=candidates)
    local = graph.node("MatMul", "last", encodings)
    local = graph.node("Expand", local, graph.constant(np.array([candidates, units])))
    parts = [encodings, local]
    inputs: dict[str, tuple[int, ...]] = {"candidates": (candidates, 1, width), "last": (1, candidates)}
    for kind, attention in attentions.items():
        name, length = kind.name, limits.of(kind)
        key_width = attention.scale.shape[0]
        query = graph.node("MatMul", encodings, graph.constant(attention.query_kernel))
        query = graph.node("Add", query, graph.constant(attention.query_bias))
        tanh = graph.node("Tanh", graph.node("Add", graph.reshape(query, (candidates, 1, key_width)), f"{name}_keys"))
        scores = graph.node("MatMul", tanh, graph.constant(attention.scale[:, np.newaxis]))
        scores = graph.reshape(scores, (candidates, length))
        mask = graph.reshape(f"{name}_mask", (1, length))
        bias = graph.node("Mul", graph.node("Sub", mask, graph.constant(1.0)), graph.constant(FAR_BELOW))
        weighting = graph.node("Softmax", graph.node("Add", scores, bias), axis=-1)
        parts.append(graph.node("MatMul", weighting, f"{name}_fused"))
        inputs[f"{name}_keys"] = (length, key_width)
        inputs[f"{name}_fused"] = (length, 2 * units)
        inputs[f"{name}_mask"] = (length, 1)
    hidden = graph.node("MatMul", graph.node("Concat", *parts, axis=1), graph.constant(head.hidden_kernel))
    hidden = graph.node("Relu", graph.node("Add", hidden, graph.constant(head.hidden_bias)))
    logits = graph.node("MatMul", hidden, graph.constant(head.output_kernel))
    graph.node("Add", logits, graph.constant(head.output_bias), out="logits")
    return graph.model("crban_reference", inputs, {"logits": (candidates, 1)})
