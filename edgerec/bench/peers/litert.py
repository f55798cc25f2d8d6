"""A peer: LiteRT on the models that `edgerec export --peers` wrote."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.peers.onnx import ReferenceGraphs
from edgerec.bench.peers.peer import Calls, Peer
from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.layout import PEERS
from edgerec.bundle.manifest import RANKING_MODEL
from edgerec.core.errors import FormatError, first_line
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]

LITERT = "litert"


class LiteRt(Peer):
    """LiteRT with one thread and its default kernels (XNNPACK)."""

    name = LITERT
    distributions = ("ai-edge-litert",)
    measures = ("step", "rerank", "sequence")

    def missing(self) -> str | None:
        if not self._path(RANKING_MODEL).is_file():
            return f"{self.bundle} has no models for it; `edgerec export --peers` writes them for the model crban"
        if importlib.util.find_spec("ai_edge_litert") is None:
            return "ai-edge-litert is not installed; pip install ai-edge-litert"
        return None

    def _path(self, model: str) -> Path:
        return self.bundle / PEERS / f"{model}.tflite"

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        action, item, _, _ = case.of(kind)
        return {LITERT: _step(_Model(self._path(kind.step_model)), action, item)}

    def sequence(self, kind: BehaviourKind, case: GoldenCase, length: int) -> Calls:
        arrays = {name: array[:length] for name, array in zip(("action", "item"), case.of(kind)[:2], strict=True)}
        model = _Model(self._path(f"{kind.step_model}_full"), {name: array.shape for name, array in arrays.items()})
        return {f"{LITERT}_full": lambda: model.run(**arrays)}

    def rerank(self, case: GoldenCase) -> Calls:
        arrays, reference = {"candidates": case.candidates}, ReferenceGraphs(self.bundle)
        for kind in BEHAVIOUR_KINDS:
            encodings = reference.encode(kind, case)
            arrays |= {f"{kind.name}_keys": encodings.keys, f"{kind.name}_fused": encodings.values}
        model = _Model(self._path(RANKING_MODEL))
        return {LITERT: lambda: model.run(**arrays)[0]}


class _Model:
    """A LiteRT model from `edgerec.export.peers`.

    Args:
        path: the model.
        shapes: the shapes of inputs whose length is not fixed.

    Raises:
        FormatError: LiteRT cannot read the model, or the model has other inputs.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(str(path), num_threads=1)
            self.inputs = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
            for name, shape in (shapes or {}).items():
                interpreter.resize_tensor_input(self.inputs[name], shape)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError, KeyError) as error:
            reason = first_line(error)
            raise FormatError(f"bench: {path} cannot be run by LiteRT ({reason}): export the bundle again") from None
        self.outputs = [detail["index"] for detail in interpreter.get_output_details()]
        self.write, self.read, self.execute = interpreter.set_tensor, interpreter.get_tensor, interpreter.invoke

    def run(self, **arrays: Array) -> list[Array]:
        """Run once. Return copies of the outputs."""
        for name, array in arrays.items():
            self.write(self.inputs[name], array)
        self.execute()
        return [self.read(index) for index in self.outputs]


def _step(model: _Model, action: Array, item: Array) -> Callable[[], Any]:
    """Return a function that makes one step. A call of LiteRT takes little longer than a few lines of Python."""
    doing, seen, before = (model.inputs[name] for name in ("action", "item", "state"))
    key, fused, after = model.outputs
    behaviours = itertools.cycle(list(zip(action[:, None, None], item[:, None, None], strict=True)))
    write, read, execute = model.write, model.read, model.execute
    state = np.zeros_like(read(before))

    def call() -> Any:
        nonlocal state
        did, what = next(behaviours)
        write(doing, did)
        write(seen, what)
        write(before, state)
        execute()
        state = read(after)
        return read(key), read(fused), state

    return call
