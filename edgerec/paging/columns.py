"""A column of raw values as arrays. A value is a number, a boolean, a string, or None if it is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.paging.body import ArrayReader, ArrayWriter, as_object, wrong

MISSING_INTEGER = -(2**63)
"""Stands for a missing value in a column of integers. Logs refuse this number as an ID."""
MISSING_BOOLEAN = -1
MAX_TEXT = 1000
"""Maximum number of characters of a string."""

FEW_WORDS = 32
"""A column of at most so many different strings is sent with all of them, so that nobody has to look which are used."""

_KINDS = {"integers": "int64", "numbers": "float64", "booleans": "int8", "strings": "int32"}
"""The kinds of columns, and the type of the array of each."""


class ColumnArray(Sequence[Any]):
    """A column as the array that a body has. It is written without a loop over its values.

    Args:
        kind: `integers`, `numbers`, `booleans` or `strings`.
        array: (n,), of the type of the kind. A missing value is `MISSING_INTEGER`, NaN, `MISSING_BOOLEAN` or -1.
        words: for strings, all strings to which `array` can point.
    """

    def __init__(self, kind: str, array: NDArray[Any], words: Sequence[str] = ()) -> None:
        self.kind, self.array, self.words = kind, array, words

    @cached_property
    def values(self) -> list[Any]:
        """The values (n,). A missing value is None."""
        return _values(self.kind, self.array, self.words)

    def take(self, rows: NDArray[np.int32]) -> ColumnArray:
        """Return the column of the values at `rows` (m,)."""
        return ColumnArray(self.kind, self.array.take(rows), self.words)

    def used(self) -> ColumnArray:
        """Return the same column of strings with only the words that its values use, in the order of their use."""
        numbers: dict[int, int] = {-1: -1}
        index = [numbers.setdefault(number, len(numbers) - 1) for number in self.array.tolist()]
        return ColumnArray(self.kind, np.array(index, np.int32), [self.words[number] for number in [*numbers][1:]])

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self.values[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __repr__(self) -> str:
        return f"ColumnArray({self.kind!r}, {self.values!r})"


def write_column(name: str, values: Sequence[Any], writer: ArrayWriter) -> dict[str, Any]:
    """Append the values (n,) of a column to `writer`. Return the description of the column for the header.

    A column is of integers, numbers, booleans or strings. Integers beside floats become floats.

    Raises:
        InputError: a value has another type, is NaN or infinite, or is too large.
    """
    if isinstance(values, ColumnArray):
        return _write_array(name, values, writer)
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
    return _write_array(name, ColumnArray("strings", np.array(index, np.int32), list(words)), writer)


def _write_array(name: str, column: ColumnArray, writer: ArrayWriter) -> dict[str, Any]:
    if column.kind == "numbers" and np.isinf(column.array).any():
        raise InputError(f"page: column {name!r} has infinity: give a missing value as None")
    description: dict[str, Any] = {"kind": column.kind}
    if column.kind == "strings":
        if len(column.words) > FEW_WORDS:
            column = column.used()
        if max(map(len, column.words), default=0) > MAX_TEXT:
            raise InputError(f"page: column {name!r} has a string of more than {MAX_TEXT} characters")
        description["words"] = list(column.words)
    return {**description, "values": writer.add(column.array)}


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
    words: Any = (False, True)
    if kind == "numbers" and bool(np.isinf(array).any()):
        raise wrong(f"{what} has an infinite number")
    if kind == "strings":
        words = fields.get("words")
        if not isinstance(words, list) or not all(type(word) is str and len(word) <= MAX_TEXT for word in words):
            raise wrong(f"{what} should have a list of strings of at most {MAX_TEXT} characters as its words")
    if kind in ("booleans", "strings") and count and not -1 <= array.min() <= array.max() < len(words):
        raise wrong(f"{what} should have indexes from -1 to {len(words) - 1}; received {array.min()} to {array.max()}")
    return _values(kind, array, words)


def _values(kind: str, array: NDArray[Any], words: Sequence[str]) -> list[Any]:
    """Return the values (n,) of an array. A missing value is None."""
    values: list[Any] = array.tolist()
    if kind == "integers":
        missing = MISSING_INTEGER in values
        return [None if value == MISSING_INTEGER else value for value in values] if missing else values
    if kind == "numbers":
        return [None if value != value else value for value in values] if np.isnan(array).any() else values
    known = (False, True) if kind == "booleans" else words
    return [None if value < 0 else known[value] for value in values]
