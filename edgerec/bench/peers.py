"""ONNX Runtime on the bundle's own functions: what the device models are measured against.

A bundle carries each function as two ONNX graphs, by the book (the equations as they stand, with native GRU nodes) and as
the device graph that became the MNN model. ONNX Runtime runs both, with its best settings for one thread; whoever
compares takes the faster one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import FormatError
from edgerec.core.manifest import CRBAN, GOLDEN, HUBSM_IE, HUBSM_IPV
from edgerec.device_runtime.golden import GoldenCase

Array = npt.NDArray[np.float32]

BOOK, DEVICE_GRAPH = "onnxruntime", "onnxruntime_device_graph"
_SUFFIX = {BOOK: "_reference", DEVICE_GRAPH: ""}
_STORED = {BOOK: "fused", DEVICE_GRAPH: "value"}
"""What a step stores beside the key, under which name."""


class OnnxPeer:
    """One of the two ways in which ONNX Runtime computes the device functions.

    Args:
        bundle: the bundle's folder.
        name: `BOOK` or `DEVICE_GRAPH`.

    Raises:
        FormatError: the bundle lacks a graph, or ONNX Runtime cannot read it.
    """

    def __init__(self, bundle: Path, name: str) -> None:
        self.name = name
        self._sessions = {
            model: _session(bundle / GOLDEN / "onnx" / f"{model}{_SUFFIX[name]}.onnx")
            for model in (HUBSM_IE, HUBSM_IPV, CRBAN)
        }

    def step(self, model: str, action: Array, item: Array) -> Callable[[], Any]:
        """A call that encodes the next of the behaviours (t, d_a), (t, d_x), over and over, state carried on."""
        session = self._sessions[model]
        outputs = ["key", _STORED[self.name], "new_state"]
        behaviours = [
            {"action": action[None, at : at + 1], "item": item[None, at : at + 1]} for at in range(len(action))
        ]
        state = np.zeros(session.get_inputs()[2].shape, np.float32)
        at = 0

        def call() -> Any:
            nonlocal state, at
            feed = behaviours[at]
            feed["state"] = state
            found = session.run(outputs, feed)
            state = found[2]
            at = (at + 1) % len(behaviours)
            return found

        return call

    def rerank(self, case: GoldenCase) -> Callable[[], Array]:
        """A call that scores the case's candidates, behaviours encoded beforehand; logits (k, 1)."""
        session = self._sessions[CRBAN]
        shapes = {spec.name: spec.shape for spec in session.get_inputs()}
        feed = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        feed["candidates"][: len(case.candidates), 0] = case.candidates
        feed["last"][0, len(case.candidates) - 1] = 1.0
        for kind, model, action, item in (
            ("exposure", HUBSM_IE, case.exposure_action, case.exposure_item),
            ("page_view", HUBSM_IPV, case.page_view_action, case.page_view_item),
        ):
            # Keys of the device graph are exponentials, which padding must leave positive.
            feed[f"{kind}_keys"][...] = 1.0
            call = self.step(model, action, item)
            for at in range(len(action)):
                key, stored, _ = call()
                feed[f"{kind}_keys"][at] = key.reshape(-1)
                feed[f"{kind}_{_STORED[self.name]}{'s' if self.name == DEVICE_GRAPH else ''}"][at] = stored.reshape(-1)
            feed[f"{kind}_mask"][: len(action)] = 1.0

        def call_rerank() -> Array:
            logits: Array = session.run(["logits"], feed)[0]
            return logits

        return call_rerank


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common base but this one.
        reason = str(error).strip().splitlines()[0]
        raise FormatError(f"bench: {path} cannot be run by ONNX Runtime ({reason}): export the bundle again") from None
