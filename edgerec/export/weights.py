"""The trained weights of one model, as plain arrays in Keras's layout.

The splitter fills these from a Keras model; the graph builders read nothing else. So a graph can be built, tested and
compared without TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import ShapeError

Array = npt.NDArray[np.float32]


def _check(owner: object, name: str, expected: tuple[int | None, ...]) -> None:
    value: Any = getattr(owner, name)
    label = f"{type(owner).__name__}.{name}"
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ShapeError(f"`{label}` should be a float32 array. Received: {kind}")
    fits = value.ndim == len(expected) and all(
        want in (None, have) for want, have in zip(expected, value.shape, strict=True)
    )
    if not fits:
        words = tuple("any" if want is None else want for want in expected)
        raise ShapeError(f"`{label}` should have shape {words}. Received: {value.shape}")
    if not np.isfinite(value).all():
        raise ShapeError(f"`{label}` should be finite. Received: {int((~np.isfinite(value)).sum())} NaN or infinite")


@dataclass(frozen=True)
class GruWeights:
    """One `keras.layers.GRU(reset_after=True)`, gates in the order z, r, h.

    Attributes:
        kernel: `(input, 3 * units)`.
        recurrent_kernel: `(units, 3 * units)`.
        bias: `(2, 3 * units)`, the input's and the recurrent bias.

    Raises:
        ShapeError: the shapes do not belong together, or a value is not finite float32.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array

    def __post_init__(self) -> None:
        _check(self, "recurrent_kernel", (None, None))
        units, width = self.recurrent_kernel.shape
        _check(self, "recurrent_kernel", (units, 3 * units))
        _check(self, "kernel", (None, width))
        _check(self, "bias", (2, width))

    @property
    def units(self) -> int:
        return int(self.recurrent_kernel.shape[0])

    @property
    def input_width(self) -> int:
        return int(self.kernel.shape[0])


GruStack = tuple[GruWeights, ...]


def _check_stack(owner: object, name: str) -> None:
    stack: GruStack = getattr(owner, name)
    label = f"{type(owner).__name__}.{name}"
    if not stack:
        raise ShapeError(f"`{label}` should have at least one GRU layer. Received: none")
    for below, layer in pairwise(stack):
        if layer.input_width != below.units or layer.units != below.units:
            raise ShapeError(
                f"`{label}` should have layers of one width, each reading the one below ({below.units} units). "
                f"Received: a layer from {layer.input_width} to {layer.units}"
            )


@dataclass(frozen=True)
class AttentionWeights:
    """Additive attention of candidates over behaviours, `scale . tanh(c Wq + bq + p Wk)` (eq. 10).

    Attributes:
        query_kernel: `(units, units)`, on a candidate's encoding.
        query_bias: `(units,)`.
        key_kernel: `(units, units)`, on a behaviour's item encoding.
        scale: `(units,)`.

    Raises:
        ShapeError: the shapes do not belong together, or a value is not finite float32.
    """

    query_kernel: Array
    query_bias: Array
    key_kernel: Array
    scale: Array

    def __post_init__(self) -> None:
        _check(self, "scale", (None,))
        width = self.scale.shape[0]
        for name in ("query_kernel", "key_kernel"):
            _check(self, name, (None, width))
        _check(self, "query_bias", (width,))


@dataclass(frozen=True)
class HubsmWeights:
    """One behaviour encoder: a GRU stack over actions, one over items (eq. 3-5 or 6-8)."""

    action: GruStack
    item: GruStack

    def __post_init__(self) -> None:
        _check_stack(self, "action")
        _check_stack(self, "item")
        if len(self.action) != len(self.item) or self.action[0].units != self.item[0].units:
            raise ShapeError(
                "`HubsmWeights` should have two stacks of one depth and width. Received: "
                f"{len(self.action)} x {self.action[0].units} and {len(self.item)} x {self.item[0].units}"
            )

    @property
    def units(self) -> int:
        return self.item[0].units

    @property
    def depth(self) -> int:
        return len(self.item)


@dataclass(frozen=True)
class HeadWeights:
    """The scoring MLP, `relu([c, s, ctx_ie, ctx_ipv] W1 + b1) W2 + b2` (eq. 11).

    Attributes:
        hidden_kernel: `(6 * units, hidden)`: candidate, local context, exposure context (2), page-view context (2).
        hidden_bias: `(hidden,)`.
        output_kernel: `(hidden, 1)`.
        output_bias: `(1,)`.

    Raises:
        ShapeError: the shapes do not belong together, or a value is not finite float32.
    """

    hidden_kernel: Array
    hidden_bias: Array
    output_kernel: Array
    output_bias: Array

    def __post_init__(self) -> None:
        _check(self, "hidden_bias", (None,))
        hidden = self.hidden_bias.shape[0]
        _check(self, "hidden_kernel", (None, hidden))
        if self.hidden_kernel.shape[0] % 6:
            raise ShapeError(
                f"`HeadWeights.hidden_kernel` should have 6 * units rows. Received: {self.hidden_kernel.shape[0]}"
            )
        _check(self, "output_kernel", (hidden, 1))
        _check(self, "output_bias", (1,))

    @property
    def units(self) -> int:
        return int(self.hidden_kernel.shape[0]) // 6

    @property
    def hidden(self) -> int:
        return int(self.hidden_bias.shape[0])

    @property
    def candidate_rows(self) -> Array:
        return self.hidden_kernel[: self.units]

    @property
    def local_rows(self) -> Array:
        return self.hidden_kernel[self.units : 2 * self.units]

    @property
    def exposure_rows(self) -> Array:
        return self.hidden_kernel[2 * self.units : 4 * self.units]

    @property
    def page_view_rows(self) -> Array:
        return self.hidden_kernel[4 * self.units :]


@dataclass(frozen=True)
class CrbanWeights:
    """The ranker: candidate stack, one attention for each kind of behaviour, scoring MLP (eq. 9-11)."""

    candidate: GruStack
    attention_ie: AttentionWeights
    attention_ipv: AttentionWeights
    head: HeadWeights

    def __post_init__(self) -> None:
        _check_stack(self, "candidate")
        units = self.candidate[0].units
        for field in fields(self)[1:3]:
            attention: AttentionWeights = getattr(self, field.name)
            if attention.query_kernel.shape[0] != units:
                raise ShapeError(
                    f"`CrbanWeights.{field.name}` should read candidate encodings of {units} units. "
                    f"Received: a query_kernel for {attention.query_kernel.shape[0]}"
                )
        if self.head.units != units:
            raise ShapeError(
                f"`CrbanWeights.head` should read encodings of {units} units. Received: one for {self.head.units}"
            )
