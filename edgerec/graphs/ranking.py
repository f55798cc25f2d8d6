"""What a ranker brings for the device: its ranking graph, and how it reads each kind of behaviour."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.weights import Array


class Attention(Protocol):
    """An attention of candidates over behaviours, split into what a step computes and what the ranker computes."""

    @property
    def units(self) -> int:
        """Width of the item encodings that it reads."""

    @property
    def key_width(self) -> int:
        """Numbers that a step stores as a behaviour's key."""

    def add_key(self, graph: GraphBuilder, item: str, units: int) -> None:
        """Add the output `key`, `(key_width, 1)`, to a step graph; `item` names the behaviour's item encoding."""

    def add_context(
        self, graph: GraphBuilder, encodings: str, kind: BehaviourKind, *, candidates: int, length: int
    ) -> str:
        """Add the attention to a ranking graph; return the contexts' share of the hidden layer, `(k, h)`, by name."""


@dataclass(frozen=True)
class Reading:
    """How a ranker reads one kind of behaviour. The step graph computes all of it that does not need the candidates.

    Attributes:
        attention: over the behaviours.
        value_kernel: `(2 * units, hidden)`, the rows of the ranker's hidden layer that read the context of this kind.
    """

    attention: Attention
    value_kernel: Array

    def check_units(self, units: int) -> None:
        """Refuse a reading that is not made for encodings of this width.

        Raises:
            ShapeError: says so.
        """
        if self.attention.units != units:
            raise ShapeError(f"`attention` should read encodings of {units} units. Received: {self.attention.units}")
        if self.value_kernel.ndim != 2 or self.value_kernel.shape[0] != 2 * units:
            raise ShapeError(f"`value_kernel` should have {2 * units} rows. Received: shape {self.value_kernel.shape}")


class EncoderGraph(Protocol):
    """The trained weights of one behaviour encoder."""

    def step(self, reading: Reading) -> onnx.ModelProto:
        """Build the step graph for a ranker that reads the behaviours so."""


class RankerGraph(ABC):
    """The trained weights of a ranker, as plain arrays; subclasses are frozen dataclasses of arrays."""

    @abstractmethod
    def build(self, limits: Limits) -> onnx.ModelProto:
        """Build the ranking graph for sequences of these lengths."""

    def readings(self) -> dict[BehaviourKind, Reading]:
        """Return how it reads each kind of behaviour that it reads; default: it reads none."""
        return {}

    def reference(self, encoders: Mapping[BehaviourKind, EncoderGraph], limits: Limits) -> dict[str, onnx.ModelProto]:
        """Build the same functions operation by operation as in the paper, by name: step models, and `crban`.

        Benchmarks run them as peers. Default: there are none.
        """
        return {}


def behaviour_inputs(kind: BehaviourKind, length: int, key_width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the ranking graph's inputs of one kind of behaviour."""
    name = kind.name
    return {f"{name}_keys": (length, key_width), f"{name}_values": (length, hidden), f"{name}_mask": (length, 1)}
