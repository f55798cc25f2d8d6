"""MNN on the encoder of a whole sequence: what every new behaviour would cost without a stored state.

`edgerec export --peers` converts the graph as it converts the device models, so each GRU layer is one native command of
MNN over all behaviours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgerec.bench.peers.peer import Calls, Peer
from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.layout import PEERS
from edgerec.core.errors import SessionError
from edgerec.device_runtime.interpreter import load_interpreter
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]

MNN_FULL = "mnn_full"


class MnnFull(Peer):
    """MNN on the encoder of a whole sequence."""

    name = MNN_FULL
    distributions = ("MNN",)
    measures = ("sequence",)

    def missing(self) -> str | None:
        if all((self.bundle / PEERS / f"{kind.step_model}_full.mnn").is_file() for kind in BEHAVIOUR_KINDS):
            return None
        return f"{self.bundle} has no model for it; `edgerec export --peers` writes it for the model crban"

    def sequence(self, kind: BehaviourKind, case: GoldenCase, length: int) -> Calls:
        path = self.bundle / PEERS / f"{kind.step_model}_full.mnn"
        interpreter, session = load_interpreter(path, str(path), threads=1)
        action, item = (np.ascontiguousarray(array[:length, np.newaxis]) for array in case.of(kind)[:2])
        inputs = interpreter.getSessionInputAll(session)
        for name, array in (("action", action), ("item", item)):
            interpreter.resizeTensor(inputs[name], array.shape)
        interpreter.resizeSession(session)
        # The tensors own the memory of their arrays, so `call` keeps the tensors.
        tensors = {**interpreter.getSessionInputAll(session), **interpreter.getSessionOutputAll(session)}

        def call() -> tuple[Array, Array]:
            tensors["action"].getNumpyData()[...] = action
            tensors["item"].getNumpyData()[...] = item
            if interpreter.runSession(session) != 0:
                raise SessionError(f"bench: MNN cannot run {path}: export the bundle again")
            return tensors["key"].getNumpyData().copy(), tensors["fused"].getNumpyData().copy()

        return {MNN_FULL: call}
