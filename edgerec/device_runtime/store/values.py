"""Values as SQLite columns: raw values as JSON text, arrays as raw little-endian bytes."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import StoreError

FLOAT, DOUBLE, INTEGER = np.dtype("<f4"), np.dtype("<f8"), np.dtype("<i8")
HALF, LABEL = np.dtype("<f2"), np.dtype("u1")
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def json_text(name: str, values: Mapping[str, Any]) -> str:
    """Return a mapping as compact JSON.

    Raises:
        StoreError: a value is NaN, infinite, or of a type that JSON does not have.
    """
    try:
        return _ENCODER.encode(values)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"`{name}` should have strings, finite numbers, booleans, None, and lists of them. Received: {error}"
        ) from None


def whole(name: str, value: Any) -> int:
    """Return a whole number as an int; NumPy's whole numbers are accepted.

    Raises:
        StoreError: the value is not a whole number.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise StoreError(f"`{name}` should be a whole number. Received: {value!r:.80}") from None


def optional(name: str, value: Any) -> int | None:
    """Return None for None, else the same as `whole`."""
    return None if value is None else whole(name, value)


def blob(name: str, array: Any, dtype: np.dtype[Any]) -> bytes:
    """Return an array of a type as bytes.

    Raises:
        StoreError: the array has another type.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise StoreError(f"`{name}` should be an array of {dtype.name}. Received: {got}")
    return array.tobytes()


def array(content: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the array (n,) with these bytes. It cannot be written to."""
    return np.frombuffer(content, dtype)


def stacked(contents: Sequence[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return arrays of the same length as the rows of one array; shape (0, 0) if there are none.

    Raises:
        ValueError: the lengths differ.
    """
    if not contents:
        return np.zeros((0, 0), dtype)
    if len({len(content) for content in contents}) > 1:
        raise ValueError("arrays of one column have different lengths")
    return np.frombuffer(bytearray().join(contents), dtype).reshape(len(contents), -1)
