"""What a ranker's output layer reads: in Keras, in ONNX Runtime and in MNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.manifest import RANKING_MODEL, Precision
from edgerec.device_runtime.session import Session
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.random_cases import random_cases
from edgerec.export.split import device_graphs, split
from edgerec.features.behaviours import Limits
from edgerec.model.runs import Run
from edgerec.rankers.dlcm import Dlcm
from tests.mnn_models import to_mnn

LIMITS = Limits(candidates=6, exposures=7, page_views=5)


@dataclass(frozen=True)
class Built:
    """The device graphs of a run with and without the output `hidden`, and some random requests with Keras' numbers."""

    without: dict[str, onnx.ModelProto]
    graphs: dict[str, onnx.ModelProto]
    cases: list[GoldenCase]

    def check(self, precision: Precision = "fp32") -> dict[str, float]:
        """Return the largest difference from Keras of the hidden layer and of the logits, by MNN and by ONNX Runtime.

        MNN computes the ranking graph. ONNX Runtime computes the steps before it.
        """
        device, session = OnnxDevice.load(self.graphs), Session(to_mnn(self.graphs[RANKING_MODEL], precision))
        worst = dict.fromkeys(("onnx_hidden", "onnx_logits", "mnn_hidden", "mnn_logits"), 0.0)
        for case in self.cases:
            feed, count = device.feed(case), len(case.candidates)
            for engine, outputs in (("onnx", device.ranker.run(feed)), ("mnn", session.run(**feed))):
                for name, expected in (("hidden", case.hidden), ("logits", case.logits[:, None])):
                    assert expected is not None
                    error = np.abs(outputs[name][:count] - expected).max()
                    worst[f"{engine}_{name}"] = max(worst[f"{engine}_{name}"], float(error))
        return worst


def build(run: Run) -> Built:
    parts = split(run)
    cases = random_cases(run.model, LIMITS, seed=3, std=1.0, hidden=True)
    return Built(device_graphs(parts, LIMITS), device_graphs(parts, LIMITS, hidden=True), [*cases[::11], cases[-1]])


def logits_of(run: Run, case: GoldenCase) -> np.ndarray:
    """Apply the ranker's output layer to the hidden layer of `case`."""
    ranker, hidden = run.model.ranker, case.hidden
    assert hidden is not None
    if isinstance(ranker, Dlcm):
        # The output layer reads the list, and returns how to weigh each encoding.
        (weights,) = ranker.output_layer(ranker.hidden(hidden[-1:])).numpy()
        return np.asarray(hidden @ weights[:-1] + weights[-1])
    return np.asarray(ranker.output_layer(hidden).numpy()[:, 0])


def without_hidden(graph: onnx.ModelProto) -> bytes:
    """Return the bytes of `graph` without its last node and its last output."""
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    node, output = other.graph.node.pop(), other.graph.output.pop()
    assert (node.op_type, list(node.output), output.name) == ("Identity", ["hidden"], "hidden")
    return other.SerializeToString(deterministic=True)
