"""Device graph of DLCM."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import Limits
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.gru import GruStackWeights, add_gru_stack, check_stack
from edgerec.graphs.ranking import RankerGraph, add_hidden
from edgerec.graphs.weights import DenseWeights


@dataclass(frozen=True)
class DlcmWeights(RankerGraph):
    """The weights of DLCM: a GRU stack, and a network that computes how its outputs are weighted.

    Attributes:
        candidate: the GRU stack over the candidates.
        hidden: dense layer with tanh over the last state.
        output: dense layer of width `units + 1`. It returns the weights of an encoding, and a constant.
    """

    candidate: GruStackWeights
    hidden: DenseWeights
    output: DenseWeights

    def __post_init__(self) -> None:
        check_stack(self, "candidate")
        units = self.candidate[0].units
        received = (self.hidden.kernel.shape[0], self.output.kernel.shape[0], self.output.width)
        if received != (units, self.hidden.width, units + 1):
            raise ShapeError(
                f"`DlcmWeights` should have a hidden layer that reads {units} units, and an output layer that reads "
                f"{self.hidden.width} units and has width {units + 1}. Received: {received}"
            )

    @property
    def hidden_width(self) -> int:
        return self.candidate[0].units

    def build(self, limits: Limits, *, hidden: bool = False) -> onnx.ModelProto:
        """Build the graph. Its inputs are `candidates`, `(k, 1, d_c)`, and `last`, `(1, k)`; its output is `logits`.

        All are as in `CrbanWeights.build`. `hidden` are the encodings of the candidates.
        """
        candidates = limits.candidates
        width, units = self.candidate[0].input_width, self.candidate[0].units
        graph = GraphBuilder()
        encodings = add_gru_stack(graph, "candidates", self.candidate, time=candidates)
        context = graph.node("MatMul", "last", encodings)
        weighing = graph.dense(context, self.hidden.kernel, self.hidden.bias, then="Tanh")
        weights = graph.dense(weighing, self.output.kernel[:, :units], self.output.bias[:units])
        constant = graph.dense(weighing, self.output.kernel[:, units:], self.output.bias[units:])
        logits = graph.node("MatMul", encodings, graph.reshape(weights, (units, 1)))
        graph.node("Add", logits, constant, out="logits")
        more = add_hidden(graph, encodings, candidates=candidates, width=units) if hidden else {}
        inputs = {"candidates": (candidates, 1, width), "last": (1, candidates)}
        return graph.model("dlcm", inputs, {"logits": (candidates, 1), **more})
