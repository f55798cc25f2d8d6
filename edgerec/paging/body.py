"""The frame of a binary body: a JSON header and raw arrays (docs/formats.md, "Pages between cloud and device").

::

    bytes 0 to 7      the magic b"EDGERECP"
    bytes 8 to 11     the format number, uint32
    bytes 12 to 15    the length h of the header, uint32
    bytes 16 to 15+h  the header, JSON in UTF-8; zeros follow up to a multiple of 8
    the rest          the arrays, each at a multiple of 8; zeros are between them

All numbers are little-endian. The header describes each array by its type, its shape, and its offset from the beginning
of the first array. `numpy.frombuffer` reads an array without a copy, and so does a ByteBuffer of Kotlin.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import TransportError, first_line

MAGIC = b"EDGERECP"
FORMAT = 1
ALIGNMENT = 8
MAX_BODY, MAX_HEADER = 64 * 1024 * 1024, 4 * 1024 * 1024
"""Maximum length of a body and of its header in bytes."""
MAX_LEVELS = 16
"""Maximum nesting of lists and objects in a header. A header of this version has five levels."""
DTYPES: Mapping[str, np.dtype[Any]] = {
    "int8": np.dtype("i1"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "float16": np.dtype("<f2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
}
"""The types of arrays, by their name in the header."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_HEADER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_START = struct.Struct("<8sII")


class ArrayWriter:
    """Collects the arrays of a body."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def add(self, array: NDArray[Any]) -> dict[str, Any]:
        """Append `array`. Return its description for the header."""
        name = _NAMES[array.dtype.newbyteorder("<")] if array.dtype.byteorder == ">" else _NAMES[array.dtype]
        description = {"type": name, "shape": list(array.shape), "offset": self._length}
        content = array.astype(DTYPES[name], copy=False).tobytes()
        self._pieces.append(content)
        self._length += len(content)
        if gap := -len(content) % ALIGNMENT:
            self._pieces.append(bytes(gap))
            self._length += gap
        return description

    def body(self, header: Mapping[str, Any]) -> bytes:
        """Return the whole body."""
        text = _HEADER.encode(header).encode()
        start = _START.pack(MAGIC, FORMAT, len(text))
        return b"".join((start, text, bytes(-(len(start) + len(text)) % ALIGNMENT), *self._pieces))


class ArrayReader:
    """Reads the arrays of a body, in the order in which they were written. So arrays cannot overlap or leave gaps."""

    def __init__(self, arrays: bytes | memoryview) -> None:
        self._arrays = arrays
        self._next = 0

    def read(self, description: object, types: tuple[str, ...], shape: tuple[int, ...], *, what: str) -> NDArray[Any]:
        """Return the next array. It is read-only and shares the memory of the body.

        Args:
            description: the description of the array in the header.
            types: the types that the array may have.
            shape: the shape that the array must have. -1 stands for any length.
            what: name of the array for errors.

        Raises:
            TransportError: the description is not valid, or the array does not have this type, shape or offset.
        """
        fields = as_object(description, what)
        name, sizes, offset = fields.get("type"), fields.get("shape"), fields.get("offset")
        if not isinstance(name, str) or name not in types:
            raise wrong(f"{what} should have the type {' or '.join(types)}; received {name!r:.40}")
        if (
            not isinstance(sizes, list)
            or len(sizes) != len(shape)
            or not all(is_integer(size) and 0 <= size <= MAX_BODY for size in sizes)
            or not all(wanted in (-1, size) for size, wanted in zip(sizes, shape, strict=True))
        ):
            raise wrong(f"{what} should have the shape {shape}; received {sizes!r:.40}")
        if not is_integer(offset) or offset != self._next:
            raise wrong(f"{what} should begin at {self._next}; received {offset!r:.40}")
        dtype, count = DTYPES[name], math.prod(sizes)
        end = offset + count * dtype.itemsize
        if end > len(self._arrays):
            raise wrong(f"{what} should end before byte {len(self._arrays)} of the arrays; it ends at {end}")
        self._next = end + -end % ALIGNMENT
        return np.frombuffer(self._arrays, dtype, count, offset).reshape(sizes)

    def end(self) -> None:
        """Check that all arrays were read.

        Raises:
            TransportError: there are more bytes, or fewer.
        """
        if self._next != len(self._arrays):
            raise wrong(f"its arrays should have {self._next} bytes; received {len(self._arrays)}")


def open_body(content: bytes) -> tuple[dict[str, Any], ArrayReader]:
    """Return the header of a body, and the reader of its arrays.

    Raises:
        TransportError: `content` is not a body of this format, or it is too large.
    """
    if len(content) > MAX_BODY:
        raise wrong(f"it should have at most {MAX_BODY} bytes; received {len(content)}")
    if len(content) < _START.size or content[:8] != MAGIC:
        raise wrong(f"it should begin with {MAGIC!r}; received {content[:8]!r}")
    _, number, length = _START.unpack_from(content)
    if number != FORMAT:
        raise wrong(f"it should have the format {FORMAT}; received {number}: update the device or the cloud")
    end = _START.size + length
    if length > MAX_HEADER or end > len(content):
        raise wrong(f"its header should have at most {min(MAX_HEADER, len(content))} bytes; received {length}")
    header = as_object(parse_json(content[_START.size : end]), "its header")
    return header, ArrayReader(memoryview(content)[end + -end % ALIGNMENT :])


def parse_json(content: bytes, *, levels: int | None = MAX_LEVELS) -> Any:
    """Return the value of a JSON text. Keys of an object must be unique, and all numbers finite.

    Args:
        content: the text.
        levels: maximum nesting of lists and objects; None: it is not checked.

    Raises:
        TransportError: `content` is not such a text, or has more levels.
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise wrong(f"its JSON cannot be read ({first_line(error):.120})") from None
    if levels is not None and _levels(value) > levels:
        raise wrong(f"its JSON has more than {levels} levels")
    return value


def as_object(value: object, what: str) -> dict[str, Any]:
    """Return `value`, which must be a JSON object.

    Raises:
        TransportError: it has another type.
    """
    if not isinstance(value, dict):
        raise wrong(f"{what} should be a JSON object; received {value!r:.40}")
    return value


def is_integer(value: object) -> bool:
    """Return whether `value` is an integer and not a boolean."""
    return type(value) is int


def wrong(text: str) -> TransportError:
    """Return the error for a body. `text` says what is wrong with it."""
    return TransportError(f"wrong body: {text}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a key twice")
    return made


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _levels(value: Any) -> int:
    """Return the nesting of lists and objects, at most `MAX_LEVELS` + 1."""
    levels, layer = 0, [value]
    while layer and levels <= MAX_LEVELS:
        parts = [each.values() if isinstance(each, dict) else each for each in layer if isinstance(each, (dict, list))]
        levels += bool(parts)
        layer = [each for part in parts for each in part]
    return levels
