"""Ranking graphs of the models that read no behaviour."""

from __future__ import annotations

import onnx

from edgerec.export.graphs.builder import GraphBuilder
from edgerec.export.graphs.gru import add_gru_stack
from edgerec.export.ranker_weights import DlcmWeights, DnnRankWeights


def build_dnn_rank(weights: DnnRankWeights, *, candidates: int) -> onnx.ModelProto:
    """Build DNN-rank: `candidates` `(k, 1, d_x)` in, `logits` `(k, 1)` out."""
    width = weights.layers[0].kernel.shape[0]
    graph = GraphBuilder()
    x = graph.reshape("candidates", (candidates, width))
    for layer in weights.layers[:-1]:
        x = graph.dense(x, layer.kernel, layer.bias, then="Relu")
    graph.reshape(graph.dense(x, weights.layers[-1].kernel, weights.layers[-1].bias), (candidates, 1), out="logits")
    return graph.model("dnn_rank", {"candidates": (candidates, 1, width)}, {"logits": (candidates, 1)})


def build_dlcm(weights: DlcmWeights, *, candidates: int) -> onnx.ModelProto:
    """Build DLCM: `candidates` `(k, 1, d_x)` and `last` `(1, k)` in, as of `build_crban`; `logits` `(k, 1)` out."""
    width, units = weights.candidate[0].input_width, weights.candidate[0].units
    graph = GraphBuilder()
    encodings = add_gru_stack(graph, "candidates", weights.candidate, time=candidates)
    context = graph.node("MatMul", "last", encodings)
    hidden = graph.dense(context, weights.hidden.kernel, weights.hidden.bias, then="Tanh")
    weighing = graph.dense(hidden, weights.output.kernel[:, :units], weights.output.bias[:units])
    added = graph.dense(hidden, weights.output.kernel[:, units:], weights.output.bias[units:])
    logits = graph.node("MatMul", encodings, graph.reshape(weighing, (units, 1)))
    graph.node("Add", logits, added, out="logits")
    return graph.model(
        "dlcm", {"candidates": (candidates, 1, width), "last": (1, candidates)}, {"logits": (candidates, 1)}
    )
