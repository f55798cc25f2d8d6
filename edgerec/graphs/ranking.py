"""The device side of a ranker: its ranking graph, and how it reads each kind of behaviour."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.weights import Array

KeysInput = Literal["keys", "positive_keys", "signed_keys"]
"""The name of the ranking graph's input with the keys, without the kind's name at its start.

The device refuses keys that are not positive if the name is `positive_keys`, and accepts keys of any sign if it is
`signed_keys`. CRBAN and CRBAN+ have `keys`; there the device knows from the widths whether keys must be positive.
"""

HIDDEN = "hidden"
"""The name of the output with what the output layer reads of each candidate."""


class BehaviourKey(Protocol):
    """The key of a behaviour. The step graph computes it from the item encoding, and the device stores it."""

    @property
    def units(self) -> int:
        """Width of the item encodings that the key is computed from."""

    @property
    def key_width(self) -> int:
        """Number of values in the key."""

    def add_key(self, graph: GraphBuilder, item: str, units: int) -> None:
        """Add the output `key`, `(key_width, 1)`, to a step graph; `item` names the behaviour's item encoding."""


class Attention(BehaviourKey, Protocol):
    """An attention of candidates over behaviours. The step graph computes one part, the ranking graph the rest."""

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
        """Add the attention to a ranking graph, and return the name of its result, `(k, h)`.

        The result is the contexts, multiplied with the rows of the ranker's hidden layer that read them.
        """


@dataclass(frozen=True)
class Reading:
    """How a ranker reads one kind of behaviour. The step graph computes the part that does not need the candidates.

    Attributes:
        key: the key of each behaviour.
        value_kernel: `(2 * units, hidden)`. The value of a behaviour is its encoding `[p, a]` times this matrix. In
            CRBAN these are the rows of the hidden layer that read the context of this kind.
    """

    key: BehaviourKey
    value_kernel: Array

    def check_units(self, units: int) -> None:
        """Check that the reading is for encodings of width `units`.

        Raises:
            ShapeError: the reading is for another width.
        """
        if self.key.units != units:
            raise ShapeError(f"`key` should read encodings of {units} units. Received: {self.key.units}")
        if self.value_kernel.ndim != 2 or self.value_kernel.shape[0] != 2 * units:
            raise ShapeError(f"`value_kernel` should have {2 * units} rows. Received: shape {self.value_kernel.shape}")


class EncoderGraph(Protocol):
    """The trained weights of one behaviour encoder."""

    def step(self, reading: Reading) -> onnx.ModelProto:
        """Build the step graph for a ranker that reads the behaviours as `reading` describes."""


class RankerGraph(ABC):
    """The trained weights of a ranker as plain arrays. Subclasses are frozen dataclasses of arrays."""

    @property
    def hidden_width(self) -> int | None:
        """Width of what the output layer reads of a candidate. None: the graph has no output for it."""
        return None

    @abstractmethod
    def build(self, limits: Limits, *, hidden: bool = False) -> onnx.ModelProto:
        """Build the ranking graph for the given maximum lengths of sequences.

        Args:
            limits: the lengths.
            hidden: whether the graph has the output `hidden`, `(k, hidden_width)`, what the output layer reads. It is
                asked for only if `hidden_width` is not None, so other rankers need not have this argument.
        """

    def readings(self) -> dict[BehaviourKind, Reading]:
        """Return how the ranker reads each kind of behaviour. By default it reads no behaviours."""
        return {}

    def reference(self, encoders: Mapping[BehaviourKind, EncoderGraph], limits: Limits) -> dict[str, onnx.ModelProto]:
        """Build graphs with the operations of the paper: the step models and `crban`, by name.

        Benchmarks compare the device graphs with them. By default there are none.
        """
        return {}


def add_hidden(graph: GraphBuilder, x: str, *, candidates: int, width: int) -> dict[str, tuple[int, ...]]:
    """Add the output `hidden` with the content of `x`, `(k, width)`, and return its name and shape.

    MNN's converter removes the node, and gives its name to `x`. So the output costs no command.
    """
    return {graph.node("Identity", x, out=HIDDEN): (candidates, width)}


def behaviour_inputs(
    kind: BehaviourKind, length: int, key_width: int, hidden: int, *, keys: KeysInput = "keys"
) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the inputs of a ranking graph that belong to one kind of behaviour."""
    name = kind.name
    return {f"{name}_{keys}": (length, key_width), f"{name}_values": (length, hidden), f"{name}_mask": (length, 1)}
