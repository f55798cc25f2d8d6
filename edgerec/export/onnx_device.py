"""The device graphs before conversion, run by ONNX Runtime. The parity check compares Keras, ONNX and MNN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.manifest import RANKING_MODEL
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.matches import SeenItems
from edgerec.device_runtime.rank_feed import KindFeed, RankFeed
from edgerec.device_runtime.ranker import Scored
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]
Arrays = dict[str, Array]


class OnnxGraph:
    """A graph that ONNX Runtime runs on one thread.

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
        """Return all outputs by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feed)), strict=True))


def steps(graph: OnnxGraph, action: Array, item: Array) -> Iterator[tuple[Arrays, Arrays]]:
    """Run a step graph on behaviours, oldest first. Yield the inputs and the outputs of each step.

    Args:
        graph: the step graph.
        action: (t, d_a), the action features of the behaviours.
        item: (t, d_x), the item features of the behaviours.
    """
    state: Any = np.zeros(graph.inputs["state"], np.float32) if "state" in graph.inputs else None
    for index in range(len(action)):
        feed = {"action": action[None, index : index + 1], "item": item[None, index : index + 1]}
        if state is not None:
            feed["state"] = state
        outputs = graph.run(feed)
        yield feed, outputs
        state = outputs.get("new_state")


@dataclass(frozen=True)
class OnnxDevice:
    """All device graphs of a model. ONNX Runtime runs them.

    Attributes:
        steppers: the step graph of each kind of behaviour that the model reads.
        ranker: the ranking graph.
    """

    steppers: Mapping[BehaviourKind, OnnxGraph]
    ranker: OnnxGraph

    @classmethod
    def load(cls, models: Mapping[str, onnx.ModelProto]) -> OnnxDevice:
        """Load the graphs `models`, given by name of device model, into ONNX Runtime."""
        steppers = {kind: OnnxGraph(models[kind.step_model]) for kind in BEHAVIOUR_KINDS if kind.step_model in models}
        return cls(steppers, OnnxGraph(models[RANKING_MODEL]))

    def scored(self, case: GoldenCase) -> Scored:
        """Step through the case's behaviours, and return the logits (c,) of its candidates, and their hidden layer."""
        outputs = {name: array[: len(case.candidates)] for name, array in self.ranker.run(self.feed(case)).items()}
        return Scored(outputs["logits"][:, 0], hidden=outputs.get("hidden"))

    def feed(self, case: GoldenCase) -> Arrays:
        """Step through the case's behaviours, and return the inputs of the ranking graph."""
        arrays = {name: np.zeros(shape, np.float32) for name, shape in self.ranker.inputs.items()}
        feed = RankFeed(arrays)
        encodings = {kind: self._encode(one, case).latest(one.limit) for kind, one in feed.kinds.items()}
        feed.write(case.candidates, encodings, case.candidate_ids)
        return arrays

    def _encode(self, feed: KindFeed, case: GoldenCase) -> Encodings:
        action, item, ids, age = case.of(feed.kind)
        results = [outputs for _, outputs in steps(self.steppers[feed.kind], action, item)]
        keys, values = (
            np.array([outputs[name].reshape(-1) for outputs in results], np.float32).reshape(-1, width)
            for name, width in (("key", feed.key_width), ("value", feed.hidden))
        )
        return Encodings(keys, values, None if ids is None or age is None else SeenItems(ids, age))
