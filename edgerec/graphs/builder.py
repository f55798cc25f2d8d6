"""A builder for ONNX graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # the lowest version with opset 17, so that older readers can load the graph


class GraphBuilder:
    """Builder of one graph. It numbers nodes and constants in order, so the same calls give the same bytes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, value: npt.ArrayLike) -> str:
        """Add a constant and return its name. Floats become float32, integers become int64."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        name = self._name("c")
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def nodes(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        stem = self._name("t")
        names = [f"{stem}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=stem, **attributes))
        return names

    def node(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return its name, which is `out` if given."""
        name = out or self._name("t")
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def dense(self, x: str, kernel: npt.ArrayLike, bias: npt.NDArray[np.float32], *, then: str | None = None) -> str:
        """Add `x W + b` for the rows of `x`, and the operator `then` after it; return the name of the result."""
        total = self.node("Add", self.node("MatMul", x, self.constant(kernel)), self.constant(bias[np.newaxis]))
        return self.node(then, total) if then else total

    def reshape(self, x: str, shape: Sequence[int], *, out: str | None = None) -> str:
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)), out=out)

    def rows(self, x: str, start: int, stop: int) -> str:
        """Add `x[start:stop]` and return its name."""
        bounds = [self.constant(np.array([value], np.int64)) for value in (start, stop, 0)]
        return self.node("Slice", x, *bounds)

    def model(
        self, name: str, inputs: Mapping[str, tuple[int | str, ...]], outputs: Mapping[str, tuple[int | str, ...]]
    ) -> onnx.ModelProto:
        """Return the graph as a checked model. Inputs and outputs are float32. A length with a name is not fixed."""
        infos = [
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in side.items()]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, name, infos[0], infos[1], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edgerec")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model

    def _name(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"
