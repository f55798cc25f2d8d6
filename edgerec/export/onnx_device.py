"""The device graphs before conversion, run by ONNX Runtime: the middle leg of Keras = ONNX = MNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgerec.core.manifest import CRBAN, HUBSM_IE, HUBSM_IPV
from edgerec.device_runtime.golden import GoldenCase

Array = npt.NDArray[np.float32]


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class OnnxStepper:
    """A step graph, run behaviour after behaviour."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = _session(model)
        shapes = {spec.name: tuple(spec.shape) for spec in self._session.get_inputs()}
        self._state_shape = shapes.get("state")

    def encode(self, action: Array, item: Array) -> tuple[Array, Array]:
        """Keys and values of behaviours (t, d_a), (t, d_x), oldest first."""
        state = None if self._state_shape is None else np.zeros(self._state_shape, np.float32)
        keys, values = [], []
        for at in range(len(action)):
            feed = {"action": action[None, at : at + 1], "item": item[None, at : at + 1]}
            if state is None:
                key, value = self._session.run(["key", "value"], feed)
            else:
                key, value, state = self._session.run(["key", "value", "new_state"], {**feed, "state": state})
            keys.append(key.reshape(-1))
            values.append(value.reshape(-1))
        return np.array(keys, np.float32), np.array(values, np.float32)


@dataclass(frozen=True)
class OnnxDevice:
    """All device graphs."""

    steppers: dict[str, OnnxStepper]
    crban: Any

    @classmethod
    def load(cls, models: dict[str, onnx.ModelProto]) -> OnnxDevice:
        """Args: the graphs by name of device model."""
        return cls({name: OnnxStepper(models[name]) for name in models if name != CRBAN}, _session(models[CRBAN]))

    def score(self, case: GoldenCase) -> Array:
        """Logits (c,) of the case's candidates after its behaviours."""
        shapes = {spec.name: tuple(spec.shape) for spec in self.crban.get_inputs()}
        count = len(case.candidates)
        feed = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
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
            keys, values = self.steppers[name].encode(action, item)
            feed[f"{kind}_keys"][:known], feed[f"{kind}_values"][:known] = keys[-limit:], values[-limit:]
            feed[f"{kind}_mask"][:known] = 1.0
            if f"{kind}_match" in feed:
                ids, age = ids[-limit:], age[-limit:]
                feed[f"{kind}_age"][0, :known] = age
                for at, (mine, theirs) in enumerate(zip(case.candidate_ids.T, ids.T, strict=True)):  # type: ignore[union-attr]
                    same = np.equal.outer(mine, theirs) & (theirs >= 0)
                    feed[f"{kind}_match"][at, :count, :known] = same
        logits: Array = self.crban.run(["logits"], feed)[0][:count, 0]
        return logits
