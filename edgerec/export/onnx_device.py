"""The device graphs before conversion, run by ONNX Runtime: the middle leg of Keras = ONNX = MNN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.manifest import CRBAN, HUBSM_IE, HUBSM_IPV

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
        steppers: the step graphs, by name of device model.
        crban: the ranking graph.
    """

    steppers: Mapping[str, OnnxGraph]
    crban: OnnxGraph

    @classmethod
    def load(cls, models: Mapping[str, onnx.ModelProto]) -> OnnxDevice:
        """Args: the graphs by name of device model."""
        return cls({name: OnnxGraph(models[name]) for name in models if name != CRBAN}, OnnxGraph(models[CRBAN]))

    def score(self, case: GoldenCase) -> Array:
        """Logits (c,) of the case's candidates after its behaviours."""
        return self.crban.run(self.feed(case))["logits"][: len(case.candidates), 0]

    def feed(self, case: GoldenCase) -> Arrays:
        """The ranking graph's inputs for the case, its behaviours stepped through."""
        count = len(case.candidates)
        feed = {name: np.zeros(shape, np.float32) for name, shape in self.crban.inputs.items()}
        feed["candidates"][:count, 0] = case.candidates
        if "last" in feed:
            feed["last"][0, count - 1] = 1.0
        if "valid" in feed:
            feed["valid"][:count] = 1.0
        for kind, name in (("exposure", HUBSM_IE), ("page_view", HUBSM_IPV)):
            if name not in self.steppers:
                continue
            action, item, ids, age = (getattr(case, f"{kind}_{part}") for part in ("action", "item", "ids", "age"))
            feed[f"{kind}_keys"][...] = 1.0
            limit = len(feed[f"{kind}_keys"])
            known = min(len(action), limit)
            if not known:
                continue
            found = [outputs for _, outputs in steps(self.steppers[name], action, item)][-limit:]
            feed[f"{kind}_keys"][:known] = np.array([outputs["key"].reshape(-1) for outputs in found])
            feed[f"{kind}_values"][:known] = np.array([outputs["value"].reshape(-1) for outputs in found])
            feed[f"{kind}_mask"][:known] = 1.0
            if f"{kind}_match" in feed:
                ids, age = ids[-limit:], age[-limit:]
                feed[f"{kind}_age"][0, :known] = age
                for at, (mine, theirs) in enumerate(zip(case.candidate_ids.T, ids.T, strict=True)):  # type: ignore[union-attr]
                    same = np.equal.outer(mine, theirs) & (theirs >= 0)
                    feed[f"{kind}_match"][at, :count, :known] = same
        return feed
