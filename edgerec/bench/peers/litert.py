"""A peer: LiteRT on step models that `edgerec export --peers` wrote."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.peers.peer import Calls, Peer
from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.layout import PEERS
from edgerec.core.errors import FormatError, first_line
from edgerec.features.behaviours import BehaviourKind

Array = npt.NDArray[np.float32]

LITERT = "litert"


class LiteRt(Peer):
    """LiteRT on the step models. It cannot run a re-rank."""

    name = LITERT
    distributions = ("ai-edge-litert",)
    measures = ("step",)

    def missing(self) -> str | None:
        if not (self.bundle / PEERS).is_dir():
            return f"{self.bundle} has no models for it; `edgerec export --peers` writes them"
        if importlib.util.find_spec("ai_edge_litert") is None:
            return "ai-edge-litert is not installed; pip install ai-edge-litert"
        return None

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        action, item, _, _ = case.of(kind)
        return {LITERT: _step(self.bundle / PEERS / f"{kind.step_model}.tflite", action, item)}


def _step(path: Path, action: Array, item: Array) -> Callable[[], Any]:
    """Return a function for the benchmark. Each call encodes one behaviour and keeps the recurrent state.

    After the last behaviour it starts again with the first. LiteRT uses one thread and its default kernels (XNNPACK).
    The outputs are the key and the fused encoding of the paper's equations, and the new state.

    Args:
        path: the LiteRT model from `edgerec.export.peers`.
        action: action vectors of the behaviours (t, d_a).
        item: item vectors of the behaviours (t, d_x).

    Raises:
        FormatError: LiteRT cannot read the model, or the model has other inputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
        doing, seen, before = (inputs[name]["index"] for name in ("action", "item", "state"))
        key, fused, after = (detail["index"] for detail in interpreter.get_output_details())
    except (ValueError, RuntimeError, KeyError) as error:
        reason = first_line(error)
        raise FormatError(f"bench: {path} cannot be run by LiteRT ({reason}): export the bundle again") from None
    behaviours = itertools.cycle(list(zip(action[:, None, None], item[:, None, None], strict=True)))
    state = np.zeros(inputs["state"]["shape"], np.float32)
    write, read, run = interpreter.set_tensor, interpreter.get_tensor, interpreter.invoke

    def call() -> Any:
        nonlocal state
        did, what = next(behaviours)
        write(doing, did)
        write(seen, what)
        write(before, state)
        run()
        state = read(after)
        return read(key), read(fused), state

    return call
