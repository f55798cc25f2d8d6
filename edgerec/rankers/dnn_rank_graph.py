"""Device graph of DNN-rank."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import Limits
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.ranking import RankerGraph, add_hidden
from edgerec.graphs.weights import DenseWeights


@dataclass(frozen=True)
class DnnRankWeights(RankerGraph):
    """The weights of DNN-rank: dense layers with ReLU between them. The last layer has width 1."""

    layers: tuple[DenseWeights, ...]

    def __post_init__(self) -> None:
        for below, layer in pairwise(self.layers):
            if layer.kernel.shape[0] != below.width:
                raise ShapeError(
                    "each layer of `DnnRankWeights.layers` should read the output of the previous one, which has width "
                    f"{below.width}. Received: a layer that reads an input of width {layer.kernel.shape[0]}"
                )

    @property
    def hidden_width(self) -> int:
        return int(self.layers[-1].kernel.shape[0])

    def build(self, limits: Limits, *, hidden: bool = False) -> onnx.ModelProto:
        """Build the graph. Its input is `candidates`, `(k, 1, d_c)`; its output is `logits`, `(k, 1)`.

        If asked for, it has the output `hidden`, the last layer but one.
        """
        candidates, width = limits.candidates, self.layers[0].kernel.shape[0]
        graph = GraphBuilder()
        x = graph.reshape("candidates", (candidates, width))
        for layer in self.layers[:-1]:
            x = graph.dense(x, layer.kernel, layer.bias, then="Relu")
        graph.reshape(graph.dense(x, self.layers[-1].kernel, self.layers[-1].bias), (candidates, 1), out="logits")
        more = add_hidden(graph, x, candidates=candidates, width=self.hidden_width) if hidden else {}
        return graph.model("dnn_rank", {"candidates": (candidates, 1, width)}, {"logits": (candidates, 1), **more})
