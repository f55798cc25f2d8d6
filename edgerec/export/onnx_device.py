"""The device graphs before conversion, run by ONNX Runtime: the middle leg of Keras = ONNX = MNN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.manifest import CRBAN
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.matches import SeenItems
from edgerec.device_runtime.rank_feed import RankFeed
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]
Arrays = dict[str, Array]


class OnnxGraph:
    """One graph, run by ONNX Runtime on one thread.

    Attributes:
        inputs: name and shape of each input.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {spec.name: tuple(spec.shape) for spec in self._session.get_inputs()}
        self._outputs = [spec.name for spec in self._session.get_outputs()]

    def run(self, feed: Mapping[str, Array]) -> Arrays:
        """All outputs by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feed)), strict=True))


def steps(graph: OnnxGraph, action: Array, item: Array) -> Iterator[tuple[Arrays, Arrays]]:
    """Inputs and outputs of a step graph, behaviour after behaviour (t, d_a), (t, d_x), oldest first."""
    state: Any = np.zeros(graph.inputs["state"], np.float32) if "state" in graph.inputs else None
    for at in range(len(action)):
        feed = {"action": action[None, at : at + 1], "item": item[None, at : at + 1]}
        if state is not None:
            feed["state"] = state
        found = graph.run(feed)
        yield feed, found
        state = found.get("new_state")


@dataclass(frozen=True)
class OnnxDevice:
    """All device graphs.

    Attributes:
        steppers: the step graph of each kind of behaviour that the model reads.
        crban: the ranking graph.
    """

    steppers: Mapping[BehaviourKind, OnnxGraph]
    crban: OnnxGraph

    @classmethod
    def load(cls, models: Mapping[str, onnx.ModelProto]) -> OnnxDevice:
        """Load the graphs, which are given by name of device model."""
        steppers = {kind: OnnxGraph(models[kind.step_model]) for kind in BEHAVIOUR_KINDS if kind.step_model in models}
        return cls(steppers, OnnxGraph(models[CRBAN]))

    def score(self, case: GoldenCase) -> Array:
        """Return logits (c,) of the case's candidates after its behaviours."""
        return self.crban.run(self.feed(case))["logits"][: len(case.candidates), 0]

    def feed(self, case: GoldenCase) -> Arrays:
        """Step through the case's behaviours, and return the inputs of the ranking graph."""
        arrays = {name: np.zeros(shape, np.float32) for name, shape in self.crban.inputs.items()}
        feed = RankFeed(arrays)
        encodings = {kind: self._encode(kind, case).latest(feed.kinds[kind].limit) for kind in self.steppers}
        feed.write(case.candidates, encodings, case.candidate_ids)
        return arrays

    def _encode(self, kind: BehaviourKind, case: GoldenCase) -> Encodings:
        action, item, ids, age = case.of(kind)
        found = [outputs for _, outputs in steps(self.steppers[kind], action, item)]
        widths = self.crban.inputs[f"{kind.name}_keys"][1], self.crban.inputs[f"{kind.name}_values"][1]
        keys, values = (
            np.array([outputs[name].reshape(-1) for outputs in found], np.float32).reshape(-1, width)
            for name, width in zip(("key", "value"), widths, strict=True)
        )
        return Encodings(keys, values, None if ids is None or age is None else SeenItems(ids, age))
