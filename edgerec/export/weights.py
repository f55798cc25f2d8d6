"""The trained weights of one model, as plain arrays in Keras's layout.

The splitter fills these from a Keras model; the graph builders read nothing else. So a graph can be built, tested and
compared without TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
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


def check_stack(owner: object, name: str) -> None:
    """Refuse an attribute of `owner` that is no stack of layers, each reading the one below.

    Raises:
        ShapeError: names the attribute.
    """
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
        check_stack(self, "action")
        check_stack(self, "item")
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
class DinWeights:
    """DIN attention of candidates over behaviours, `scale . relu(c Wq + bq + p Wk + (product * c) p)`.

    Attributes:
        query_kernel: `(units, hidden)`, on a candidate's encoding.
        query_bias: `(hidden,)`.
        key_kernel: `(units, hidden)`, on a behaviour's item encoding.
        product: `(hidden, units)`, on the product of both, element by element.
        scale: `(hidden,)`.

    Raises:
        ShapeError: the shapes do not belong together, or a value is not finite float32.
    """

    query_kernel: Array
    query_bias: Array
    key_kernel: Array
    product: Array
    scale: Array

    def __post_init__(self) -> None:
        _check(self, "scale", (None,))
        hidden = self.scale.shape[0]
        _check(self, "query_kernel", (None, hidden))
        units = self.query_kernel.shape[0]
        _check(self, "key_kernel", (units, hidden))
        _check(self, "query_bias", (hidden,))
        _check(self, "product", (hidden, units))


@dataclass(frozen=True)
class DenseWeights:
    """A dense layer: kernel `(input, width)`, bias `(width,)`.

    Raises:
        ShapeError: the shapes do not belong together, or a value is not finite float32.
    """

    kernel: Array
    bias: Array

    def __post_init__(self) -> None:
        _check(self, "bias", (None,))
        _check(self, "kernel", (None, self.bias.shape[0]))

    @property
    def width(self) -> int:
        return int(self.bias.shape[0])


@dataclass(frozen=True)
class RawWeights:
    """One encoder without recurrence: a layer over a behaviour's action, one over its item, with tanh.

    Attributes:
        action: kernel `(d_a, units)` and bias `(units,)`.
        item: kernel `(d_x, units)` and bias `(units,)`.
    """

    action: DenseWeights
    item: DenseWeights

    def __post_init__(self) -> None:
        if self.action.width != self.item.width:
            raise ShapeError(
                f"`RawWeights` should have two layers of one width. Received: {self.action.width} and {self.item.width}"
            )

    @property
    def units(self) -> int:
        return self.item.width


@dataclass(frozen=True)
class HeadWeights:
    """The scoring MLP, `relu([c, s, contexts] W1 + b1) W2 + b2` (eq. 11).

    Attributes:
        hidden_kernel: `((2 + 2 * contexts) * units, hidden)`: candidate, local context, each kind's context (2).
        hidden_bias: `(hidden,)`.
        output_kernel: `(hidden, 1)`.
        output_bias: `(1,)`.
        contexts: how many kinds of behaviours are read.

    Raises:
        ShapeError: the shapes do not belong together, or a value is not finite float32.
    """

    hidden_kernel: Array
    hidden_bias: Array
    output_kernel: Array
    output_bias: Array
    contexts: int = 2

    def __post_init__(self) -> None:
        _check(self, "hidden_bias", (None,))
        hidden = self.hidden_bias.shape[0]
        _check(self, "hidden_kernel", (None, hidden))
        if self.hidden_kernel.shape[0] % self._parts:
            raise ShapeError(
                f"`HeadWeights.hidden_kernel` should have {self._parts} * units rows. "
                f"Received: {self.hidden_kernel.shape[0]}"
            )
        _check(self, "output_kernel", (hidden, 1))
        _check(self, "output_bias", (1,))

    @property
    def _parts(self) -> int:
        return 2 + 2 * self.contexts

    @property
    def units(self) -> int:
        return int(self.hidden_kernel.shape[0]) // self._parts

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
        """Of the first kind's context; where page-views alone are read, of theirs."""
        return self.hidden_kernel[2 * self.units : 4 * self.units]

    @property
    def page_view_rows(self) -> Array:
        """Of the last kind's context."""
        return self.hidden_kernel[-2 * self.units :]


@dataclass(frozen=True)
class CrbanWeights:
    """CRBAN: candidate stack, one attention for each kind of behaviour that is read, scoring MLP (eq. 9-11)."""

    candidate: GruStack
    attention_ie: AttentionWeights | DinWeights | None
    attention_ipv: AttentionWeights | DinWeights | None
    head: HeadWeights

    def __post_init__(self) -> None:
        check_stack(self, "candidate")
        units = self.candidate[0].units
        for name in ("attention_ie", "attention_ipv"):
            attention: AttentionWeights | DinWeights | None = getattr(self, name)
            if attention is not None and attention.query_kernel.shape[0] != units:
                raise ShapeError(
                    f"`CrbanWeights.{name}` should read candidate encodings of {units} units. "
                    f"Received: a query_kernel for {attention.query_kernel.shape[0]}"
                )
        if self.head.units != units:
            raise ShapeError(
                f"`CrbanWeights.head` should read encodings of {units} units. Received: one for {self.head.units}"
            )
        if self.head.contexts != (self.attention_ie is not None) + (self.attention_ipv is not None):
            raise ShapeError(
                "`CrbanWeights.head` should read as many contexts as there are attentions. "
                f"Received: {self.head.contexts}"
            )
