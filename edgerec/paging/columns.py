"""A column of raw values as arrays. A value is a number, a boolean, a string, or None if it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgerec.core.errors import InputError
from edgerec.paging.body import ArrayReader, ArrayWriter, as_object, wrong

MISSING_INTEGER = -(2**63)
"""Stands for a missing value in a column of integers. Logs refuse this number as an ID."""
MISSING_BOOLEAN = -1
MAX_TEXT = 1000
"""Maximum number of characters of a string."""

_KINDS = {"integers": "int64", "numbers": "float64", "booleans": "int8", "strings": "int32"}
"""The kinds of columns, and the type of the array of each."""


def write_column(name: str, values: Sequence[Any], writer: ArrayWriter) -> dict[str, Any]:
    """Append the values (n,) of a column to `writer`. Return the description of the column for the header.

    A column is of integers, numbers, booleans or strings. Integers beside floats become floats.

    Raises:
        InputError: a value has another type, is NaN or infinite, or is too large.
    """
    kinds = {type(value) for value in values} - {type(None)}
    try:
        if kinds <= {int}:
            column = [MISSING_INTEGER if value is None else value for value in values]
            return {"kind": "integers", "values": writer.add(np.array(column, np.int64))}
        if kinds <= {int, float}:
            numbers = np.array([np.nan if value is None else value for value in values], np.float64)
            if int((~np.isfinite(numbers)).sum()) != sum(value is None for value in values):
                raise InputError(f"page: column {name!r} has NaN or infinity: give a missing value as None")
            return {"kind": "numbers", "values": writer.add(numbers)}
    except OverflowError:
        raise InputError(f"page: column {name!r} has an integer that is too large") from None
    if kinds == {bool}:
        column = [MISSING_BOOLEAN if value is None else int(value) for value in values]
        return {"kind": "booleans", "values": writer.add(np.array(column, np.int8))}
    if kinds != {str}:
        received = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(f"page: column {name!r} should have numbers, booleans or strings; received {received}")
    words: dict[str, int] = {}
    index = [-1 if value is None else words.setdefault(value, len(words)) for value in values]
    if max(map(len, words)) > MAX_TEXT:
        raise InputError(f"page: column {name!r} has a string of more than {MAX_TEXT} characters")
    return {"kind": "strings", "words": list(words), "values": writer.add(np.array(index, np.int32))}


def read_column(description: object, count: int, reader: ArrayReader, *, what: str) -> list[Any]:
    """Return the values (n,) of a column, which is the next one of `reader`.

    Raises:
        TransportError: the description or a value is not valid.
    """
    fields = as_object(description, what)
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise wrong(f"{what} should be of the kind {', '.join(_KINDS)}; received {kind!r:.40}")
    array = reader.read(fields.get("values"), (_KINDS[kind],), (count,), what=what)
    values: list[Any] = array.tolist()
    if kind == "integers":
        return (
            [None if value == MISSING_INTEGER else value for value in values] if MISSING_INTEGER in values else values
        )
    if kind == "numbers":
        if bool(np.isinf(array).any()):
            raise wrong(f"{what} has an infinite number")
        missing = np.isnan(array)
        return [None if value != value else value for value in values] if missing.any() else values
    words: Any = (False, True)
    if kind == "strings":
        words = fields.get("words")
        if not isinstance(words, list) or not all(type(word) is str and len(word) <= MAX_TEXT for word in words):
            raise wrong(f"{what} should have a list of strings of at most {MAX_TEXT} characters as its words")
    if count and not -1 <= array.min() <= array.max() < len(words):
        raise wrong(f"{what} should have indexes from -1 to {len(words) - 1}; received {array.min()} to {array.max()}")
    return [None if value < 0 else words[value] for value in values]
