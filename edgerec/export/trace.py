"""A search for the first tensor, in the order of computation, that MNN computes differently from ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import shape_inference

from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.manifest import RANKING_MODEL
from edgerec.bundle.model_checks import sessions_of
from edgerec.core.tolerance import absolute_difference
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.session import Session
from edgerec.export.onnx_device import Arrays, OnnxDevice, OnnxGraph, steps
from edgerec.export.parity import ALLOWED, TOLERANCE

Array = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]

ROUNDING = 50.0
"""Factor that decides which differences count as rounding.

The trace measures how much a tensor changes if the inputs of its graph change in the last digit. A difference between
the engines counts as rounding if it is at most this factor times that change. The engines sum in different orders, and
some operations, such as the exponential of a large number, amplify such differences.
"""
_CONVERTED = "__matmul_converted"
"""The suffix that MNN's converter adds to the name of a matrix product that it converts to a convolution."""
_LOGITS = "logits"


@dataclass(frozen=True)
class Departure:
    """The first tensor that differs between MNN and ONNX Runtime.

    Attributes:
        model: the device model.
        tensor: the name of the tensor in the ONNX graph.
        operator: the ONNX operator that computes the tensor.
        step: the number of the behaviour, from 1 on; None in the ranking graph.
        apart: the largest difference of an element. It is divided by the absolute value of the element if that value is
            above 1, except for logits.
        after: the last tensor that was compared before it in the same run, and agreed; None if there is none.
    """

    model: str
    tensor: str
    operator: str
    step: int | None
    apart: float
    after: str | None


@dataclass(frozen=True)
class Trace:
    """The result of running a request by MNN and by ONNX Runtime.

    Attributes:
        compared: number of tensors that were compared in all steps, up to the first that differs.
        departure: the first tensor that differs; None if all tensors agree.
        from_keras: largest difference between ONNX Runtime's logits and those of Keras, or between their hidden layers
            if the case has one.
        agrees_with_keras: whether this difference is within the tolerance of the parity check.
        carried: the device model and the number of the first behaviour at which the state differs by more than the
            tolerance, when each step of the device runtime starts from its own previous state. None if there is no such
            behaviour, or if `departure` is not None.
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
            return f"MNN differs from ONNX Runtime at {where}, by {found.apart:.2g}; {before}"
        agreed = f"MNN agrees with ONNX Runtime in all {self.compared:,} tensors that were compared"
        if not self.agrees_with_keras:
            return f"{agreed}, but ONNX Runtime differs from Keras by {self.from_keras:.2g}: the graphs are wrong"
        if self.carried is not None:
            model, step = self.carried
            return f"{agreed}, but the state of {model} differs from behaviour {step} on, after several steps"
        return f"{agreed}, and ONNX Runtime agrees with Keras: the difference is in the arrays passed between graphs"


def trace(case: GoldenCase, device: DeviceModel, graphs: Mapping[str, onnx.ModelProto]) -> Trace:
    """Run `case` in both engines, operation by operation, up to the first tensor that differs.

    In every step, both engines get the states and encodings of ONNX Runtime. So the operation that computes a tensor
    causes its difference. MNN fuses operations, so it shows only about half of the tensors. A fault in a fused
    operation appears at the next tensor that MNN shows.

    Args:
        case: a request.
        device: the converted models.
        graphs: the ONNX graphs of these models, by name of device model.
    """
    everything = OnnxDevice.load({name: _with_all_outputs(graph) for name, graph in graphs.items()})
    feed = everything.feed(case)
    outputs = {name: array[: len(case.candidates)].ravel() for name, array in everything.ranker.run(feed).items()}
    pairs = [(outputs[_LOGITS], case.logits)]
    if case.hidden is not None and "hidden" in outputs:
        pairs.append((outputs["hidden"], case.hidden.ravel()))
    from_keras = max(float(absolute_difference(*pair).max()) for pair in pairs)
    agrees = all(ALLOWED.worst_index(*pair) is None for pair in pairs)
    compared = 0
    onnx_graphs = {kind.step_model: graph for kind, graph in everything.steppers.items()}
    onnx_graphs[RANKING_MODEL] = everything.ranker
    sessions = sessions_of(device)
    for name, step, inputs in _runs(everything, case, feed):
        found, count = _departure(name, step, graphs[name], onnx_graphs[name], sessions[name], inputs)
        compared += count
        if found is not None:
            return Trace(compared, found, from_keras, agrees)
    return Trace(compared, None, from_keras, agrees, _carried(everything, device, case))


def _runs(everything: OnnxDevice, case: GoldenCase, feed: Arrays) -> Iterator[tuple[str, int | None, Arrays]]:
    """Yield the name of the graph, the number of the behaviour and the inputs of each run. The ranker runs last."""
    for kind, graph in everything.steppers.items():
        action, item, _, _ = case.of(kind)
        for step, (inputs, _) in enumerate(steps(graph, action, item), start=1):
            yield kind.step_model, step, inputs
    yield RANKING_MODEL, None, feed


def _departure(
    model: str, step: int | None, graph: onnx.ModelProto, everything: OnnxGraph, session: Session, inputs: Arrays
) -> tuple[Departure | None, int]:
    """Return the first tensor that differs in one run of one graph, and the number of tensors compared."""
    rng = np.random.default_rng(0)
    expected = everything.run(inputs)
    moved = everything.run({name: _nudged(rng, array) for name, array in inputs.items()})
    before, count = None, 0
    for tensor, operator, array, source in _pairs(graph, session.observe(**inputs), expected):
        count += 1
        apart, differs = compare_tensors(array, expected[source], moved[source], absolute=tensor == _LOGITS)
        if differs:
            return Departure(model, tensor, operator, step, apart, before), count
        before = tensor
    return None, count


def _nudged(rng: np.random.Generator, array: Array) -> Array:
    """Replace each number, at random, by the next larger or smaller float32. Keep 0 and 1, because masks use them."""
    towards = np.where(rng.random(array.shape) < 0.5, np.float32(-np.inf), np.float32(np.inf))
    return np.where((array == 0) | (array == 1), array, np.nextafter(array, towards))


def _pairs(
    graph: onnx.ModelProto, shown: Mapping[str, Array], expected: Mapping[str, Array]
) -> Iterator[tuple[str, str, Array, str]]:
    """Yield the tensors that MNN shows, in the graph's order.

    Each comes with its name, its operator, MNN's values, and the name of the tensor in `expected` to compare it with.
    """
    nodes = list(graph.graph.node)
    outputs = {value.name for value in graph.graph.output}
    for node in nodes:
        tensor = node.output[0]
        array = shown.get(tensor, shown.get(tensor + _CONVERTED))
        if array is None or array.size != expected[tensor].size:
            continue
        source, operator = tensor, node.op_type
        readers = [other for other in nodes if tensor in other.input]
        # MNN fuses a Relu into the operation before it. This operation then shows the output of the Relu.
        if tensor not in outputs and [other.op_type for other in readers] == ["Relu"]:
            (after,) = readers[0].output
            if after not in shown:
                source, operator = after, f"{operator}, Relu"
        yield tensor, operator, array.reshape(expected[source].shape), source


def compare_tensors(actual: Array, expected: Array, moved: Array, *, absolute: bool = False) -> tuple[float, bool]:
    """Return the largest difference between two elements, and whether one is too large to be a rounding error.

    The difference of an element is divided by the absolute value of the element if that value is above 1.

    Args:
        actual, expected: arrays of the same shape.
        moved: the same as `expected`, but computed from inputs that differ in the last digit.
        absolute: do not divide differences, and apply the tolerance of the parity check to each element.
    """
    if not expected.size:
        return 0.0, False
    one, other, third = (np.atleast_2d(array).astype(np.float64) for array in (actual, expected, moved))
    with np.errstate(invalid="ignore"):
        error = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.abs(one - other))
        error = np.where(np.isnan(error), np.inf, error)
        scale = np.ones_like(other) if absolute else np.fmax(np.where(np.isfinite(other), np.abs(other), 1.0), 1.0)
        rounding = ROUNDING * np.nan_to_num(np.abs(third - other), posinf=0.0).max(axis=-1, keepdims=True)
    allowed = ALLOWED.allowed(other) if absolute else TOLERANCE * scale
    beyond = error > np.maximum(allowed, rounding)
    return float((error / scale).max()), bool(beyond.any())


def _carried(everything: OnnxDevice, device: DeviceModel, case: GoldenCase) -> tuple[str, int] | None:
    """Return the first step at which the state differs if the device runtime continues from its own states, or None."""
    for kind, stepper in device.steppers.items():
        action, item, _, _ = case.of(kind)
        state = stepper.initial_state()
        for step, (inputs, expected) in enumerate(steps(everything.steppers[kind], action, item), start=1):
            state = stepper.step(inputs["action"].reshape(-1), inputs["item"].reshape(-1), state).state
            if "new_state" in expected and np.abs(state - expected["new_state"][:, 0]).max() > TOLERANCE:
                return kind.step_model, step
    return None


def _with_all_outputs(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return `graph` with the first output of every node as an output of the graph."""
    full = shape_inference.infer_shapes(graph, strict_mode=True)
    stated = {value.name for value in full.graph.output}
    types = {value.name: value for value in full.graph.value_info}
    full.graph.output.extend(types[node.output[0]] for node in full.graph.node if node.output[0] not in stated)
    return full
