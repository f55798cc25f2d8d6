"""Device graphs of DIN: an encoder without a recurrence, and attention with weights that are not normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import BehaviourKind
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.ranking import KeysInput, Reading
from edgerec.graphs.weights import Array, DenseWeights, check_array


@dataclass(frozen=True)
class DinWeights:
    """DIN attention of candidates over behaviours, `scale . relu(c Wq + bq + p Wk + (product * c) p)`.

    `c` is the encoding of a candidate, and `p` is the item encoding of a behaviour.

    Attributes:
        query_kernel: `(units, hidden)`, on a candidate's encoding.
        query_bias: `(hidden,)`.
        key_kernel: `(units, hidden)`, on a behaviour's item encoding.
        product: `(hidden, units)`, on the element-wise product of both encodings.
        scale: `(hidden,)`.

    Raises:
        ShapeError: the shapes do not fit each other, or a value is not finite float32.
    """

    query_kernel: Array
    query_bias: Array
    key_kernel: Array
    product: Array
    scale: Array

    def __post_init__(self) -> None:
        check_array(self, "scale", (None,))
        hidden = self.scale.shape[0]
        check_array(self, "query_kernel", (None, hidden))
        units = self.query_kernel.shape[0]
        check_array(self, "key_kernel", (units, hidden))
        check_array(self, "query_bias", (hidden,))
        check_array(self, "product", (hidden, units))

    @property
    def units(self) -> int:
        return int(self.key_kernel.shape[0])

    @property
    def key_width(self) -> int:
        return int(sum(self.product.shape))

    def form(self) -> DinWeights:
        """Return these weights, which have one form only."""
        return self

    def add_key(self, graph: GraphBuilder, item: str, units: int) -> None:
        """Add the output `key`: the item encoding `p`, then `p Wk`, which is the part of the hidden layer for `p`."""
        part = graph.node("MatMul", item, graph.constant(self.key_kernel))
        key = graph.node("Concat", item, part, axis=1)
        graph.reshape(key, (self.key_width, 1), out="key")

    def add_context(
        self,
        graph: GraphBuilder,
        encodings: str,
        kind: BehaviourKind,
        *,
        candidates: int,
        length: int,
        keys: KeysInput = "keys",
    ) -> str:
        """Add DIN attention over one kind of behaviour. Arguments and result are as in `AttentionForm.add_context`."""
        hidden, units = self.product.shape
        stored, mask = f"{kind.name}_{keys}", f"{kind.name}_mask"
        bounds = [graph.constant(np.array([value])) for value in (0, units, units + hidden, 1)]
        encoded = graph.node("Slice", stored, bounds[0], bounds[1], bounds[3])
        part = graph.node("Slice", stored, bounds[1], bounds[2], bounds[3])
        # The shape is (k, h, units): each hidden unit has its own inner product of candidate and behaviour.
        weighted = graph.node(
            "Mul", graph.reshape(encodings, (candidates, 1, units)), graph.constant(self.product[np.newaxis])
        )
        weighted = graph.reshape(weighted, (candidates * hidden, units))
        product = graph.node("MatMul", weighted, graph.node("Transpose", encoded, perm=[1, 0]))
        query = graph.dense(encodings, self.query_kernel, self.query_bias)
        inner = graph.node(
            "Add", graph.reshape(product, (candidates, hidden, length)), graph.reshape(query, (candidates, hidden, 1))
        )
        inner = graph.node("Add", inner, graph.reshape(graph.node("Transpose", part, perm=[1, 0]), (1, hidden, length)))
        scaled = graph.node("Mul", graph.node("Relu", inner), graph.constant(self.scale[np.newaxis, :, np.newaxis]))
        scores = graph.node("ReduceSum", scaled, graph.constant(np.array([1])), keepdims=0)
        scores = graph.node("Mul", scores, graph.reshape(mask, (1, length)))
        count = graph.node("ReduceSum", mask, graph.constant(np.array([0])), keepdims=1)
        share = graph.node("Sqrt", graph.node("Max", count, graph.constant(np.ones((1, 1)))))
        return graph.node("Div", graph.node("MatMul", scores, f"{kind.name}_values"), share)


@dataclass(frozen=True)
class RawWeights:
    """The weights of an encoder without a recurrence: two dense layers with tanh.

    Attributes:
        action: kernel `(d_a, units)` and bias `(units,)`.
        item: kernel `(d_x, units)` and bias `(units,)`.
    """

    action: DenseWeights
    item: DenseWeights

    def __post_init__(self) -> None:
        if self.action.width != self.item.width:
            raise ShapeError(
                f"`RawWeights` should have two layers of the same width. Received: {self.action.width} and "
                f"{self.item.width}"
            )

    @property
    def units(self) -> int:
        return self.item.width

    def step(self, reading: Reading) -> onnx.ModelProto:
        """Build the step graph, which is computed once for each behaviour. It has no state.

        | name | shape | what |
        |---|---|---|
        | in `action` | `(1, 1, d_a)` | the behaviour's action features |
        | in `item` | `(1, 1, d_x)` | the features of its item |
        | out `key` | `(key_width, 1)` | the attention key of the item encoding `p` |
        | out `value` | `(hidden, 1)` | `[p, a]` times the rows of the ranker's hidden layer that read it |

        Raises:
            ShapeError: `reading` is for encodings of another width.
        """
        units, value_kernel = self.units, reading.value_kernel
        reading.check_units(units)
        graph = GraphBuilder()
        encoded = {}
        for name, layer in (("action", self.action), ("item", self.item)):
            row = graph.reshape(name, (1, layer.kernel.shape[0]))
            encoded[name] = graph.dense(row, layer.kernel, layer.bias, then="Tanh")
        reading.key.add_key(graph, encoded["item"], units)
        fused = graph.node("Concat", encoded["item"], encoded["action"], axis=1)
        width = value_kernel.shape[1]
        graph.reshape(graph.node("MatMul", fused, graph.constant(value_kernel)), (width, 1), out="value")
        return graph.model(
            "raw_step",
            {"action": (1, 1, self.action.kernel.shape[0]), "item": (1, 1, self.item.kernel.shape[0])},
            {"key": (reading.key.key_width, 1), "value": (width, 1)},
        )
