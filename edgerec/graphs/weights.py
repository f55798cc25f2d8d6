"""Checks of trained weights, and the weights of a dense layer. Weights are plain arrays in the layout of Keras.

Each building block of a graph has a class of such arrays. Keras layers create its objects, and the graph builders read
only these objects. So a graph can be built, tested and compared without TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import ShapeError

Array = npt.NDArray[np.float32]


def check_array(owner: object, name: str, expected: tuple[int | None, ...]) -> None:
    """Check that the attribute `name` of `owner` is a finite float32 array of the shape `expected`.

    Args:
        owner: object with the attribute.
        name: name of the attribute.
        expected: length of each axis; None accepts any length.

    Raises:
        ShapeError: the attribute is not such an array. The message names the attribute.
    """
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
        raise ShapeError(
            f"`{label}` should be finite. Received: {int((~np.isfinite(value)).sum())} values that are NaN or infinite"
        )


@dataclass(frozen=True)
class DenseWeights:
    """The weights of a dense layer: kernel `(input, width)`, bias `(width,)`.

    Raises:
        ShapeError: the shapes do not fit each other, or a value is not finite float32.
    """

    kernel: Array
    bias: Array

    def __post_init__(self) -> None:
        check_array(self, "bias", (None,))
        check_array(self, "kernel", (None, self.bias.shape[0]))

    @property
    def width(self) -> int:
        return int(self.bias.shape[0])
