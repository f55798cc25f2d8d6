"""DLCM on the device."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import Limits
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.gru import GruStack, add_gru_stack, check_stack
from edgerec.graphs.ranking import RankerGraph
from edgerec.graphs.weights import DenseWeights


@dataclass(frozen=True)
class DlcmWeights(RankerGraph):
    """The weights of DLCM: the candidate stack, and the network from its last state to the weights of each output.

    Attributes:
        candidate: the stack.
        hidden: layer with tanh.
        output: layer of width `units + 1`: the weights of an encoding, and a constant.
    """

    candidate: GruStack
    hidden: DenseWeights
    output: DenseWeights

    def __post_init__(self) -> None:
        check_stack(self, "candidate")
        units = self.candidate[0].units
        received = (self.hidden.kernel.shape[0], self.output.kernel.shape[0], self.output.width)
        if received != (units, self.hidden.width, units + 1):
            raise ShapeError(
                f"`DlcmWeights` should lead from {units} units to {units + 1} weights. Received: layers of {received}"
            )

    def build(self, limits: Limits) -> onnx.ModelProto:
        """Build the graph: `candidates` `(k, 1, d_x)` and `last` `(1, k)` in, as of CRBAN; `logits` `(k, 1)` out."""
        candidates = limits.candidates
        width, units = self.candidate[0].input_width, self.candidate[0].units
        graph = GraphBuilder()
        encodings = add_gru_stack(graph, "candidates", self.candidate, time=candidates)
        context = graph.node("MatMul", "last", encodings)
        hidden = graph.dense(context, self.hidden.kernel, self.hidden.bias, then="Tanh")
        weighing = graph.dense(hidden, self.output.kernel[:, :units], self.output.bias[:units])
        added = graph.dense(hidden, self.output.kernel[:, units:], self.output.bias[units:])
        logits = graph.node("MatMul", encodings, graph.reshape(weighing, (units, 1)))
        graph.node("Add", logits, added, out="logits")
        return graph.model(
            "dlcm", {"candidates": (candidates, 1, width), "last": (1, candidates)}, {"logits": (candidates, 1)}
        )
