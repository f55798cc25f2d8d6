"""NaN and infinity are refused on the way to MNN and on the way back.

MNN's clamps turn some of them into plausible numbers, so that a look at the outputs alone is not enough. And finite
inputs near the end of float32 (3e38) can give outputs that are not finite, so that a look at the inputs is not either.
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
    """Room for several arrays side by side, so that one look tells whether all of them are finite.

    Args:
        shapes: of the arrays.

    Attributes:
        parts: the arrays, to write to.
    """

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        ends = np.cumsum([prod(shape) for shape in shapes])
        self._all = np.zeros(ends[-1], np.float32)
        parts = zip(np.split(self._all, ends[:-1]), shapes, strict=True)
        self.parts: list[Array] = [part.reshape(shape) for part, shape in parts]

    def finite(self) -> bool:
        """Whether all numbers of all parts are finite, as `is_finite`."""
        array = self._all
        return isfinite(vdot(array, array)) or bool(np.isfinite(array).all())


def is_finite(array: Array) -> bool:
    """Whether all numbers of `array` are finite."""
    # The sum of squares is finite, or some element is huge or not finite: half the price of looking at each. `vdot`,
    # unlike `dot`, does not warn when it overflows.
    return isfinite(vdot(array, array)) or bool(np.isfinite(array).all())


def check_finite(name: str, array: Array) -> None:
    """Refuse NaN and infinity in an input.

    Raises:
        SessionError: some element is not finite.
    """
    if not is_finite(array):
        raise SessionError(f"`{name}` should be finite. Received: {int((~np.isfinite(array)).sum())} NaN or infinite")


def not_finite(outputs: Mapping[str, Array], inputs: Mapping[str, Array]) -> NotFiniteError:
    """The error for outputs that are not finite; it names the input with the largest number."""
    wrong = [f"`{name}`" for name, array in outputs.items() if not np.isfinite(array).all()]
    largest = {name: float(np.abs(array).max(initial=0.0)) for name, array in inputs.items()}
    name = max(largest, key=lambda one: largest[one])
    return NotFiniteError(
        f"the model should give finite numbers, it gave NaN or infinity in {', '.join(wrong)}: the largest number that "
        f"it received is {largest[name]:.3g} in `{name}`; look for a feature that is far larger than in training"
    )
