"""Peers: ONNX Runtime on the ONNX graphs of a bundle.

A bundle has two ONNX graphs for each device model. The reference graph follows the equations of the paper and has
native GRU nodes. The device graph is the graph that was converted to the MNN model. Without EdgeRec, users of ONNX
Runtime would have a graph like the reference graph. The implementations are:

- `onnxruntime`: the reference graph, called with `run`.
- `onnxruntime_io_binding`: the reference graph, with memory that is bound before the calls. It is only measured for the
  step, where the overhead of a call is as large as the computation.
- `onnxruntime_device_graph`: the device graph, called with `run`.
- `onnxruntime_full`: the encoder of a whole sequence, with native GRU nodes over all behaviours. `edgerec export
  --peers` writes its graph.

All use one thread, all graph optimisations and no memory arena. These graphs are 10 % faster without the arena.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.peers.peer import Calls, Peer
from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.layout import GOLDEN, PEERS
from edgerec.bundle.manifest import DEVICE_MODELS, RANKING_MODEL
from edgerec.core.errors import FormatError
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.matches import SeenItems
from edgerec.device_runtime.rank_feed import RankFeed
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]

REFERENCE, BOUND, DEVICE_GRAPH = "onnxruntime", "onnxruntime_io_binding", "onnxruntime_device_graph"
_SUFFIX = {REFERENCE: "_reference", DEVICE_GRAPH: ""}
_STORED = {REFERENCE: ("fused", "fused"), DEVICE_GRAPH: ("value", "values")}
"""A step stores a key and a second output. This is the name of the second one in the step graph and, for all
behaviours, in the ranking graph."""


class OnnxPeer(Peer):
    """ONNX Runtime on one kind of graph: the reference graphs or the device graphs.

    Raises:
        FormatError: at the first call, if the bundle lacks a graph or ONNX Runtime cannot read it.
    """

    distributions = ("onnxruntime",)

    def missing(self) -> str | None:
        if self._graph(RANKING_MODEL, self.name).is_file():
            return _not_installed()
        which = "reference graphs; only bundles of the model crban have them" if _SUFFIX[self.name] else "graphs"
        return f"{self.bundle} has no {which}"

    def _graph(self, model: str, which: str) -> Path:
        return self.bundle / GOLDEN / "onnx" / f"{model}{_SUFFIX[which]}.onnx"

    @cached_property
    def _sessions(self) -> dict[str, Any]:
        missing = self.missing()
        if missing is not None:
            raise FormatError(f"bench: the graphs of the peer {self.name} cannot be run: {missing}")
        graphs = {model: self._graph(model, self.name) for model in DEVICE_MODELS}
        return {model: _session(path) for model, path in graphs.items() if path.is_file()}

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        action, item, _, _ = case.of(kind)
        return {self.name: self._run_step(kind.step_model, action, item)}

    def rerank(self, case: GoldenCase) -> Calls:
        session = self._sessions[RANKING_MODEL]
        arrays = {spec.name: np.zeros(spec.shape, np.float32) for spec in session.get_inputs()}
        encodings = {kind: self.encode(kind, case) for kind in BEHAVIOUR_KINDS if kind.step_model in self._sessions}
        RankFeed(arrays, values=_STORED[self.name][1]).write(case.candidates, encodings, case.candidate_ids)
        return {self.name: lambda: session.run(["logits"], arrays)[0]}

    def encode(self, kind: BehaviourKind, case: GoldenCase) -> Encodings:
        """Encode the behaviours of `case`. With the reference graph, values are the fused encodings (t, 2 * units)."""
        action, item, ids, age = case.of(kind)
        call = self._run_step(kind.step_model, action, item)
        found = [call()[:2] for _ in range(len(action))]
        keys, values = (np.array([one[part].reshape(-1) for one in found], np.float32) for part in (0, 1))
        return Encodings(keys, values, None if ids is None or age is None else SeenItems(ids, age))

    def _run_step(self, model: str, action: Array, item: Array) -> Callable[[], Any]:
        session = self._sessions[model]
        outputs = ["key", _STORED[self.name][0], "new_state"]
        behaviours = itertools.cycle(list(zip(action[:, None, None], item[:, None, None], strict=True)))
        state = np.zeros(_shape(session, "state"), np.float32)

        def call() -> Any:
            nonlocal state
            doing, seen = next(behaviours)
            found = session.run(outputs, {"action": doing, "item": seen, "state": state})
            state = found[2]
            return found

        return call


class ReferenceGraphs(OnnxPeer):
    """The reference graphs. Steps are also measured with memory that is bound before the calls."""

    name = REFERENCE

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        action, item, _, _ = case.of(kind)
        return {**super().step(kind, case), BOUND: _bound_step(self._sessions[kind.step_model], action, item)}


class DeviceGraphs(OnnxPeer):
    """The device graphs, from which the MNN models were converted."""

    name = DEVICE_GRAPH
    stores_fused = False


class FullSequence(Peer):
    """The encoder of a whole sequence: what every new behaviour would cost without a stored state."""

    name = "onnxruntime_full"
    distributions = ("onnxruntime",)
    measures = ("sequence",)

    def missing(self) -> str | None:
        if all(self._graph(kind).is_file() for kind in BEHAVIOUR_KINDS):
            return _not_installed()
        return f"{self.bundle} has no graph for it; `edgerec export --peers` writes it for the model crban"

    def _graph(self, kind: BehaviourKind) -> Path:
        return self.bundle / PEERS / f"{kind.step_model}_full.onnx"

    def sequence(self, kind: BehaviourKind, case: GoldenCase, length: int) -> Calls:
        session = _session(self._graph(kind))
        action, item, _, _ = case.of(kind)
        arrays = {"action": action[:length, np.newaxis], "item": item[:length, np.newaxis]}
        return {self.name: lambda: session.run(["key", "fused"], arrays)}


def _bound_step(session: Any, action: Array, item: Array) -> Callable[[], Any]:
    import onnxruntime

    value_of = onnxruntime.OrtValue.ortvalue_from_numpy
    behaviours = itertools.cycle(list(zip(action[:, None, None], item[:, None, None], strict=True)))
    binding = session.io_binding()
    inputs = {spec.name: value_of(np.zeros(spec.shape, np.float32)) for spec in session.get_inputs()}
    outputs = {spec.name: value_of(np.zeros(spec.shape, np.float32)) for spec in session.get_outputs()}
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in outputs.items():
        binding.bind_ortvalue_output(name, value)
    doing, seen, state = inputs["action"], inputs["item"], inputs["state"]
    key, fused, new_state = outputs["key"], outputs["fused"], outputs["new_state"]
    last = np.zeros(_shape(session, "state"), np.float32)
    run = session.run_with_iobinding

    def call() -> Any:
        nonlocal last
        did, what = next(behaviours)
        doing.update_inplace(did)
        seen.update_inplace(what)
        state.update_inplace(last)
        run(binding)
        last = new_state.numpy()
        return key.numpy(), fused.numpy(), last

    return call


def _shape(session: Any, name: str) -> list[int]:
    return next(list(spec.shape) for spec in session.get_inputs() if spec.name == name)


def _not_installed() -> str | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed; pip install onnxruntime"
    return None


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The exceptions of ONNX Runtime have no other common base class.
        reason = str(error).strip().splitlines()[0]
        raise FormatError(f"bench: {path} cannot be run by ONNX Runtime ({reason}): export the bundle again") from None
