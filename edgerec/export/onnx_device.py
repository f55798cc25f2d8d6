"""The device graphs before conversion, run by ONNX Runtime: the middle leg of Keras = ONNX = MNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

Array = npt.NDArray[np.float32]


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class OnnxStepper:
    """`build_hubsm_step`'s graph, run behaviour after behaviour."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = _session(model)
        shapes = {spec.name: tuple(spec.shape) for spec in self._session.get_inputs()}
        self._state_shape = shapes["state"]

    def encode(self, action: Array, item: Array) -> tuple[Array, Array]:
        """Keys and values of behaviours (t, d_a), (t, d_x), oldest first."""
        state = np.zeros(self._state_shape, np.float32)
        keys, values = [], []
        for at in range(len(action)):
            feed = {"action": action[None, at : at + 1], "item": item[None, at : at + 1], "state": state}
            key, value, state = self._session.run(["key", "value", "new_state"], feed)
            keys.append(key.reshape(-1))
            values.append(value.reshape(-1))
        return np.array(keys, np.float32), np.array(values, np.float32)


@dataclass(frozen=True)
class OnnxDevice:
    """All three device graphs."""

    hubsm_ie: OnnxStepper
    hubsm_ipv: OnnxStepper
    crban: Any

    @classmethod
    def load(cls, models: dict[str, onnx.ModelProto]) -> OnnxDevice:
        """Args: the graphs by name of device model."""
        return cls(OnnxStepper(models["hubsm_ie"]), OnnxStepper(models["hubsm_ipv"]), _session(models["crban"]))

    def score(self, exposures: tuple[Array, Array], page_views: tuple[Array, Array], candidates: Array) -> Array:
        """Logits (c,) of candidates (c, d_x) after the behaviours (actions, items) of both kinds."""
        shapes = {spec.name: tuple(spec.shape) for spec in self.crban.get_inputs()}
        feed = {"candidates": np.zeros(shapes["candidates"], np.float32), "last": np.zeros(shapes["last"], np.float32)}
        feed["candidates"][: len(candidates), 0] = candidates
        feed["last"][0, len(candidates) - 1] = 1.0
        for kind, stepper, behaviours in (
            ("exposure", self.hubsm_ie, exposures),
            ("page_view", self.hubsm_ipv, page_views),
        ):
            count = len(behaviours[0])
            keys = np.ones(shapes[f"{kind}_keys"], np.float32)
            values = np.zeros(shapes[f"{kind}_values"], np.float32)
            mask = np.zeros(shapes[f"{kind}_mask"], np.float32)
            if count:
                keys[:count], values[:count] = stepper.encode(*behaviours)
                mask[:count] = 1.0
            feed.update({f"{kind}_keys": keys, f"{kind}_values": values, f"{kind}_mask": mask})
        logits: Array = self.crban.run(["logits"], feed)[0][: len(candidates), 0]
        return logits
