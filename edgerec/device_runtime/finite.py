"""Checks for NaN and infinity in the inputs and the outputs of MNN.

Both checks are needed. MNN's clamps turn some NaN into plausible numbers, so checking the outputs is not enough. Finite
inputs near the largest float32 (3e38) can give outputs that are not finite, so checking the inputs is not enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, prod

import numpy as np
import numpy.typing as npt
from numpy import vdot

from edgerec.core.errors import NotFiniteError, SessionError

Array = npt.NDArray[np.float32]


class Joined:
    """A buffer that holds several arrays side by side, so that one check covers all of them.

    Args:
        shapes: the shapes of the arrays.

    Attributes:
        parts: the arrays. They are views of the buffer, and the caller writes into them.
    """

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        ends = np.cumsum([prod(shape) for shape in shapes])
        self._all = np.zeros(ends[-1], np.float32)
        self._flags = bytearray(len(self._all))
        self._is_finite = np.frombuffer(self._flags, np.bool_)
        parts = zip(np.split(self._all, ends[:-1]), shapes, strict=True)
        self.parts: list[Array] = [part.reshape(shape) for part, shape in parts]

    def finite(self) -> bool:
        """Return whether all numbers in the buffer are finite."""
        # NumPy writes into flags that exist, and `in` searches their bytes. For the few hundred numbers of a step, this
        # takes half the time of a sum of squares, and a quarter of the time of `isfinite(array).all()`.
        np.isfinite(self._all, self._is_finite)
        return 0 not in self._flags


def is_finite(array: Array) -> bool:
    """Return whether all numbers of `array` are finite."""
    # If the sum of squares is finite, every number is finite. The sum takes half the time of a check of each number. If
    # the sum is not finite, finite numbers may have overflowed, so each number is checked. `vdot` is used because `dot`
    # warns when it overflows.
    return isfinite(vdot(array, array)) or bool(np.isfinite(array).all())


def check_finite(name: str, array: Array) -> None:
    """Check that an input has no NaN and no infinity.

    Raises:
        SessionError: an element is not finite.
    """
    if not is_finite(array):
        count = int((~np.isfinite(array)).sum())
        raise SessionError(f"all numbers of `{name}` should be finite. Received: {count} NaN or infinite numbers")


def not_finite(outputs: Mapping[str, Array], inputs: Mapping[str, Array]) -> NotFiniteError:
    """Return the error for outputs that are not finite. It names the input with the largest number."""
    wrong = [f"`{name}`" for name, array in outputs.items() if not np.isfinite(array).all()]
    largest = {name: float(np.abs(array).max(initial=0.0)) for name, array in inputs.items()}
    name = max(largest, key=lambda one: largest[one])
    return NotFiniteError(
        f"the model should return finite numbers, but returned NaN or infinity in {', '.join(wrong)}: the largest "
        f"input received is {largest[name]:.3g} in `{name}`; look for a feature that is far larger than in training"
    )
