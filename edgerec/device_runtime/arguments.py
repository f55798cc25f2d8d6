"""Checks of the arguments that callers pass to the device runtime: types, shapes and counts."""

from __future__ import annotations

import sys
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError

Shape = tuple[int, ...]

MAX_TIME = 2**62
"""The largest time in milliseconds. The difference of two such times fits into int64."""

_FLOAT32 = np.dtype(np.float32)
_PLAIN = frozenset((np.ndarray, np.memmap))


def check_array(name: str, array: object, shape: Shape) -> None:
    """Check that `array` is a plain float32 array of shape `shape`.

    Raises:
        SessionError: `array` is not such an array.
    """
    # `is` comes first: NumPy has one float32 object, and `==` on two dtypes takes longer than all other checks.
    if type(array) in _PLAIN and (array.dtype is _FLOAT32 or array.dtype == _FLOAT32) and array.shape == shape:  # type: ignore[attr-defined]
        return
    raise SessionError(f"`{name}` should be a float32 array of shape {shape}. Received: {received(array)}")


def check_vectors(name: str, array: object, width: int) -> None:
    """Check that `array` is a plain float32 array of shape `(any, width)`: one vector in each row.

    Raises:
        SessionError: `array` is not such an array.
    """
    if is_plain(array) and array.dtype == _FLOAT32 and array.ndim == 2 and array.shape[1] == width:
        return
    raise SessionError(f"`{name}` should be a float32 array of shape (any, {width}). Received: {received(array)}")


def check_count(name: str, value: object, *, most: int = sys.maxsize) -> None:
    """Check that `value` is a whole number from 0 to `most`.

    Raises:
        SessionError: `value` is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
        raise SessionError(f"`{name}` should be a whole number from 0 to {most}. Received: {value!r:.80}")


def check_time(time: object) -> int:
    """Check that `time` is a whole number of milliseconds, and return it.

    Raises:
        SessionError: `time` is not such a number, or it is too large for computations with int64.
    """
    if isinstance(time, bool) or not isinstance(time, (int, np.integer)) or abs(int(time)) > MAX_TIME:
        raise SessionError(
            f"`time` should be milliseconds since 1970, a whole number of at most 62 bits. Received: {time!r:.80}"
        )
    return int(time)


def is_plain(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Return whether `value` is a plain NumPy array or a memory map.

    Other subclasses, such as masked arrays, give their numbers a meaning that MNN does not know.
    """
    return type(value) in _PLAIN


def received(value: object) -> str:
    """Return a description of a value for an error message: type and shape, or only the type."""
    if is_plain(value):
        return f"{value.dtype} of shape {value.shape}"
    kind = type(value).__name__
    return f"{kind}, which is not a plain NumPy array" if isinstance(value, np.ndarray) else kind
