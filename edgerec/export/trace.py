"""Where MNN departs from ONNX Runtime: the first tensor of the device graphs, in the order of their computation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
from onnx import shape_inference

from edgerec.core.manifest import CRBAN
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.golden import GoldenCase
from edgerec.device_runtime.session import Session
from edgerec.export.onnx_device import OnnxDevice, steps

Array = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""On each element, relative to the largest of its row where that is above 1: both round differently, and a wrong weight
or a wrong command is far beyond."""
_CONVERTED = "__matmul_converted"
"""What MNN's converter puts behind the name of a product that it made a convolution."""


@dataclass(frozen=True)
class Traced:
    """How far MNN is from ONNX Runtime on the same inputs.

    Attributes:
        compared: how many tensors both showed, every step of a behaviour counted.
        apart: the largest difference, as `TOLERANCE` has it; up to the departure where there is one.
        model: the device model of that difference.
        tensor: its name in the ONNX graph.
        operator: the ONNX operator that it comes from.
        step: which behaviour, from 1; none in the ranking graph.
        after: the tensor that was compared before it; none for the first of a graph.
        departs: whether the difference is beyond the tolerance: then it is the first such.
    """

    compared: int = 0
    apart: float = 0.0
    model: str = ""
    tensor: str = ""
    operator: str = ""
    step: int | None = None
    after: str | None = None
    departs: bool = False

    def __str__(self) -> str:
        where = f"`{self.tensor}` ({self.operator}) of {self.model}.onnx"
        if self.step is not None:
            where += f" at behaviour {self.step}"
        if not self.departs:
            return (
                f"MNN agrees with ONNX Runtime in all {self.compared:,} tensors that both show (within "
                f"{self.apart:.1g}, at {where}): it is the graphs that depart from Keras"
            )
        before = f"`{self.after}` before it agrees" if self.after else "it is the first that MNN shows"
        return f"MNN departs from ONNX Runtime at {where}, {self.apart:.2g} apart relative to its row; {before}"


def trace(case: GoldenCase, device: DeviceModel, graphs: Mapping[str, onnx.ModelProto]) -> Traced:
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
    found = Traced()
    for name, stepper in device.steppers.items():
        kind = "exposure" if stepper is device.hubsm_ie else "page_view"
        action, item = getattr(case, f"{kind}_action"), getattr(case, f"{kind}_item")
        for step, (feed, expected) in enumerate(steps(everything.steppers[name], action, item), start=1):
            found = _compared(found, name, graphs[name], stepper.session, feed, expected, step=step)
            if found.departs:
                return found
    feed = everything.feed(case)
    return _compared(found, CRBAN, graphs[CRBAN], device.crban.session, feed, everything.crban.run(feed), step=None)


def _compared(
    found: Traced,
    model: str,
    graph: onnx.ModelProto,
    session: Session,
    feed: Mapping[str, Array],
    expected: Mapping[str, Array],
    *,
    step: int | None,
) -> Traced:
    """`found`, and one run of one graph beside it."""
    before = None
    for tensor, operator, mine, theirs in _pairs(graph, session.observe(**feed), expected):
        apart = _apart(mine, theirs)
        departs = not apart <= TOLERANCE
        found = replace(found, compared=found.compared + 1)
        if departs or apart > found.apart:
            found = replace(
                found,
                apart=apart,
                model=model,
                tensor=tensor,
                operator=operator,
                step=step,
                after=before,
                departs=departs,
            )
        if departs:
            break
        before = tensor
    return found


def _pairs(
    graph: onnx.ModelProto, shown: Mapping[str, Array], expected: Mapping[str, Array]
) -> Iterator[tuple[str, str, Array, Array]]:
    """Name, operator, MNN's and ONNX Runtime's values of each tensor that MNN shows, in the graph's order."""
    nodes = list(graph.graph.node)
    outputs = {value.name for value in graph.graph.output}
    for node in nodes:
        tensor = node.output[0]
        mine = shown.get(tensor, shown.get(tensor + _CONVERTED))
        if mine is None or mine.size != expected[tensor].size:
            continue
        theirs, operator = expected[tensor], node.op_type
        readers = [other for other in nodes if tensor in other.input]
        # MNN computes a Relu within the operation before it, which then shows what comes after the Relu.
        if tensor not in outputs and [other.op_type for other in readers] == ["Relu"]:
            (after,) = readers[0].output
            if after not in shown:
                theirs, operator = expected[after], f"{operator}, Relu"
        yield tensor, operator, mine.reshape(theirs.shape), theirs


def _apart(mine: Array, theirs: Array) -> float:
    """The largest difference, relative to the largest element of its row where that is above 1; infinite for NaN."""
    rows = np.atleast_2d(theirs.astype(np.float64))
    scale = np.maximum(np.abs(rows).max(axis=-1, keepdims=True), 1.0)
    error = np.abs(np.atleast_2d(mine) - rows) / scale
    return float(np.where(np.isnan(error), np.inf, error).max())


def _observed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """`graph` with the first output of every node an output."""
    full = shape_inference.infer_shapes(graph, strict_mode=True)
    stated = {value.name for value in full.graph.output}
    types = {value.name: value for value in full.graph.value_info}
    full.graph.output.extend(types[node.output[0]] for node in full.graph.node if node.output[0] not in stated)
    return full
