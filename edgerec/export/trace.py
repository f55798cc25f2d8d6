"""Where MNN departs from ONNX Runtime: the first tensor of the device graphs, in the order of their computation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import shape_inference

from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.manifest import CRBAN
from edgerec.core.tolerance import absolute_difference
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.session import Session
from edgerec.export.onnx_device import Arrays, OnnxDevice, OnnxGraph, steps
from edgerec.export.parity import ALLOWED, TOLERANCE

Array = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]

ROUNDING = 50.0
"""So many times what one unit in the last place of the inputs moves a tensor is rounding: the engines sum in different
orders, and an exponential of a large number, for example, makes much of little."""
_CONVERTED = "__matmul_converted"
"""What MNN's converter puts behind the name of a product that it made a convolution."""
_LOGITS = "logits"


@dataclass(frozen=True)
class Departure:
    """The first tensor in which MNN is another than ONNX Runtime.

    Attributes:
        model: the device model.
        tensor: its name in the ONNX graph.
        operator: the ONNX operator that it comes from.
        step: which behaviour, from 1; none in the ranking graph.
        apart: the largest difference, relative to an element where that is above 1; of logits, absolute.
        after: the tensor that was compared before it in the same run of the graph and agreed; none for the first.
    """

    model: str
    tensor: str
    operator: str
    step: int | None
    apart: float
    after: str | None


@dataclass(frozen=True)
class Trace:
    """What a request showed, run by both engines.

    Attributes:
        compared: how many tensors both showed, every step of a behaviour counted; up to the departure.
        departure: where MNN departs; none where it agrees in all of them.
        from_keras: how far ONNX Runtime's logits are from the request's own.
        agrees_with_keras: whether that is within what the proof allows.
        carried: without a departure, the first step at which the device runtime's state, carried on from step to step,
            is beyond the tolerance: device model and behaviour; else none.
    """

    compared: int
    departure: Departure | None
    from_keras: float
    agrees_with_keras: bool
    carried: tuple[str, int] | None = None

    def __str__(self) -> str:
        if self.departure is not None:
            found = self.departure
            where = f"`{found.tensor}` ({found.operator}) of {found.model}.onnx"
            if found.step is not None:
                where += f" at behaviour {found.step}"
            before = f"`{found.after}` before it agrees" if found.after else "nothing was compared before it"
            return f"MNN departs from ONNX Runtime at {where}, by {found.apart:.2g}; {before}"
        agreed = f"MNN agrees with ONNX Runtime in all {self.compared:,} tensors that both show"
        if not self.agrees_with_keras:
            return f"{agreed}, and ONNX Runtime is {self.from_keras:.2g} from Keras: the graphs compute something else"
        if self.carried is not None:
            model, step = self.carried
            return f"{agreed}, but states that are carried on depart: of {model} from behaviour {step} on"
        return f"{agreed}, and ONNX Runtime with Keras: the difference is in what is carried from graph to graph"


def trace(case: GoldenCase, device: DeviceModel, graphs: Mapping[str, onnx.ModelProto]) -> Trace:
    """Run `case` by both, operation by operation, until they depart.

    Both get the same inputs in every graph and at every step, ONNX Runtime's states and encodings, so that a difference
    belongs to the operation that shows it. MNN fuses operations and so shows about half of the tensors; an operation
    that it fused shows at the next that it did not.

    Args:
        case: a request.
        device: the converted models.
        graphs: what they were converted from, by name of device model.
    """
    everything = OnnxDevice.load({name: _observed(graph) for name, graph in graphs.items()})
    feed = everything.feed(case)
    logits = everything.crban.run(feed)[_LOGITS][: len(case.candidates), 0]
    from_keras = float(absolute_difference(logits, case.logits).max())
    agrees = ALLOWED.worst_index(logits, case.logits) is None
    compared = 0
    onnx_graphs = {**{kind.step_model: graph for kind, graph in everything.steppers.items()}, CRBAN: everything.crban}
    sessions = {kind.step_model: stepper.session for kind, stepper in device.steppers.items()}
    sessions[CRBAN] = device.crban.session
    for name, step, inputs in _runs(everything, case, feed):
        found, count = _departure(name, step, graphs[name], onnx_graphs[name], sessions[name], inputs)
        compared += count
        if found is not None:
            return Trace(compared, found, from_keras, agrees)
    return Trace(compared, None, from_keras, agrees, _carried(everything, device, case))


def _runs(everything: OnnxDevice, case: GoldenCase, feed: Arrays) -> Iterator[tuple[str, int | None, Arrays]]:
    """Yield name, behaviour and inputs of every run of a graph; the run of the ranker, with `feed`, is last."""
    for kind, graph in everything.steppers.items():
        action, item, _, _ = case.of(kind)
        for step, (inputs, _) in enumerate(steps(graph, action, item), start=1):
            yield kind.step_model, step, inputs
    yield CRBAN, None, feed


def _departure(
    model: str, step: int | None, graph: onnx.ModelProto, everything: OnnxGraph, session: Session, inputs: Arrays
) -> tuple[Departure | None, int]:
    """Where one run of one graph departs, and how many tensors were compared."""
    rng = np.random.default_rng(0)
    expected = everything.run(inputs)
    moved = everything.run({name: _nudged(rng, array) for name, array in inputs.items()})
    before, count = None, 0
    for tensor, operator, mine, source in _pairs(graph, session.observe(**inputs), expected):
        count += 1
        apart, departs = compare_tensors(mine, expected[source], moved[source], absolute=tensor == _LOGITS)
        if departs:
            return Departure(model, tensor, operator, step, apart, before), count
        before = tensor
    return None, count


def _nudged(rng: np.random.Generator, array: Array) -> Array:
    """Each number's neighbour on one side or the other; zeros and ones, of which masks are made, stay."""
    towards = np.where(rng.random(array.shape) < 0.5, np.float32(-np.inf), np.float32(np.inf))
    return np.where((array == 0) | (array == 1), array, np.nextafter(array, towards))


def _pairs(
    graph: onnx.ModelProto, shown: Mapping[str, Array], expected: Mapping[str, Array]
) -> Iterator[tuple[str, str, Array, str]]:
    """Each tensor that MNN shows, in the graph's order: name, operator, MNN's values, whose values they should be."""
    nodes = list(graph.graph.node)
    outputs = {value.name for value in graph.graph.output}
    for node in nodes:
        tensor = node.output[0]
        mine = shown.get(tensor, shown.get(tensor + _CONVERTED))
        if mine is None or mine.size != expected[tensor].size:
            continue
        source, operator = tensor, node.op_type
        readers = [other for other in nodes if tensor in other.input]
        # MNN computes a Relu within the operation before it, which then shows what comes after the Relu.
        if tensor not in outputs and [other.op_type for other in readers] == ["Relu"]:
            (after,) = readers[0].output
            if after not in shown:
                source, operator = after, f"{operator}, Relu"
        yield tensor, operator, mine.reshape(expected[source].shape), source


def compare_tensors(mine: Array, theirs: Array, moved: Array, *, absolute: bool = False) -> tuple[float, bool]:
    """The largest difference of an element, relative to it where it is above 1, and whether it is beyond rounding.

    Args:
        mine, theirs: of one shape.
        moved: `theirs` from inputs that differ in the last place.
        absolute: do not divide by large elements, and hold each to what the proof allows.
    """
    if not theirs.size:
        return 0.0, False
    one, other, third = (np.atleast_2d(array).astype(np.float64) for array in (mine, theirs, moved))
    with np.errstate(invalid="ignore"):
        error = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.abs(one - other))
        error = np.where(np.isnan(error), np.inf, error)
        scale = np.ones_like(other) if absolute else np.fmax(np.where(np.isfinite(other), np.abs(other), 1.0), 1.0)
        rounding = ROUNDING * np.nan_to_num(np.abs(third - other), posinf=0.0).max(axis=-1, keepdims=True)
    allowed = ALLOWED.allowed(other) if absolute else TOLERANCE * scale
    beyond = error > np.maximum(allowed, rounding)
    return float((error / scale).max()), bool(beyond.any())


def _carried(everything: OnnxDevice, device: DeviceModel, case: GoldenCase) -> tuple[str, int] | None:
    """The first step at which the device runtime, on its own states, is beyond the tolerance."""
    for kind, stepper in device.steppers.items():
        action, item, _, _ = case.of(kind)
        state = stepper.initial_state()
        for step, (inputs, expected) in enumerate(steps(everything.steppers[kind], action, item), start=1):
            state = stepper.step(inputs["action"].reshape(-1), inputs["item"].reshape(-1), state).state
            if "new_state" in expected and np.abs(state - expected["new_state"][:, 0]).max() > TOLERANCE:
                return kind.step_model, step
    return None


def _observed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """`graph` with the first output of every node an output."""
    full = shape_inference.infer_shapes(graph, strict_mode=True)
    stated = {value.name for value in full.graph.output}
    types = {value.name: value for value in full.graph.value_info}
    full.graph.output.extend(types[node.output[0]] for node in full.graph.node if node.output[0] not in stated)
    return full
