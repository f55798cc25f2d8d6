"""Device graph of HUBSM. It reads one behaviour and the state, and returns a key, a value and the new state."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgerec.core.errors import ShapeError
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.gru import GruStackWeights, add_gru, check_stack
from edgerec.graphs.ranking import Reading


@dataclass(frozen=True)
class HubsmWeights:
    """The weights of one behaviour encoder: a GRU stack over actions and one over items (eq. 3-5 or 6-8)."""

    action: GruStackWeights
    item: GruStackWeights

    def __post_init__(self) -> None:
        check_stack(self, "action")
        check_stack(self, "item")
        if len(self.action) != len(self.item) or self.action[0].units != self.item[0].units:
            raise ShapeError(
                "`HubsmWeights` should have two stacks of the same depth and width. Received: "
                f"{len(self.action)} x {self.action[0].units} and {len(self.item)} x {self.item[0].units}"
            )

    @property
    def units(self) -> int:
        return self.item[0].units

    @property
    def depth(self) -> int:
        return len(self.item)

    def step(self, reading: Reading) -> onnx.ModelProto:
        """Build one step of HUBSM (eq. 3-8), and the part of the ranker that needs only this behaviour (eq. 10, 11).

        | name | shape | what |
        |---|---|---|
        | in `action` | `(1, 1, d_a)` | the behaviour's action features |
        | in `item` | `(1, 1, d_x)` | the features of its item |
        | in `state` | `(2 * depth, 1, units)` | action layers, the lowest first, then item layers; zeros at the start |
        | out `key` | `(key_width, 1)` | the attention key of the item encoding `p`, see `attention.py` |
        | out `value` | `(hidden, 1)` | `[p, a]` times the rows of the ranker's hidden layer that read it |
        | out `new_state` | `(2 * depth, 1, units)` | as `state` |

        MNN copies no data between operations of these shapes: GRU nodes read arrays with axes for time and batch, and
        matrix-vector products read columns.

        The context of a candidate is the sum of the encodings `b_j`, weighted by the attention `w_j`. The hidden layer
        is linear in it: `(sum_j w_j b_j) W = sum_j w_j (b_j W)`. So the step computes `b_j W` once for each behaviour.
        In CRBAN this product has half the width of the encoding, so the device stores half as many numbers.

        Raises:
            ShapeError: `reading` is for encodings of another width.
        """
        units, depth, value_kernel = self.units, self.depth, reading.value_kernel
        reading.check_units(units)
        graph = GraphBuilder()
        states: list[str] = []
        tops: dict[str, str] = {}
        for name, stack in (("action", self.action), ("item", self.item)):
            x = name
            for layer in stack:
                _, x = add_gru(graph, x, layer, initial=graph.rows("state", len(states), len(states) + 1))
                states.append(x)
            tops[name] = x
        graph.node("Concat", *states, axis=0, out="new_state")
        reading.key.add_key(graph, tops["item"], units)
        fused = graph.reshape(graph.node("Concat", tops["item"], tops["action"], axis=2), (2 * units, 1))
        graph.node("MatMul", graph.constant(value_kernel.T), fused, out="value")
        hidden, key_width = value_kernel.shape[1], reading.key.key_width
        return graph.model(
            "hubsm_step",
            {
                "action": (1, 1, self.action[0].input_width),
                "item": (1, 1, self.item[0].input_width),
                "state": (2 * depth, 1, units),
            },
            {"key": (key_width, 1), "value": (hidden, 1), "new_state": (2 * depth, 1, units)},
        )
