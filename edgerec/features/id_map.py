"""Numbers for string IDs: a table that only grows, in a file beside the logs (docs/your-logs.md, "IDs").

The file has one line of JSON for each string, in the order of the numbers, so any language can read it. This module
needs neither polars nor TensorFlow: converters, servers and devices use the same map.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.atomic import write_bytes
from edgerec.core.errors import FormatError, InputError, OutputError
from edgerec.core.paths import AnyPath, to_path

FORMAT = 1
UNKNOWN = -1
"""The number of a string that is not in the map. No embedding table has a row for it."""


class IdMap:
    """A table of different strings. The number of a string is its index in the table, and never changes.

    Args:
        strings: the strings that have the numbers 0, 1, ...

    Raises:
        InputError: a value is not a string, or occurs twice.
    """

    def __init__(self, strings: Iterable[str] = ()) -> None:
        self._strings = list(strings)
        _check(self._strings)
        self._numbers = {text: number for number, text in enumerate(self._strings)}
        if len(self._numbers) != len(self._strings):
            twice = next(text for number, text in enumerate(self._strings) if self._numbers[text] != number)
            raise InputError(f"IdMap: the strings should be different; {twice!r:.80} occurs twice")

    def __len__(self) -> int:
        return len(self._strings)

    @property
    def strings(self) -> tuple[str, ...]:
        """All strings, in the order of their numbers."""
        return tuple(self._strings)

    def add(self, strings: Iterable[str]) -> NDArray[np.int64]:
        """Return the integer ID (n,) of each string. New strings get the next numbers, in alphabetical order.

        So the numbers do not depend on the order of the strings in one call.

        Raises:
            InputError: a value is not a string. Then nothing is added.
        """
        strings = list(strings)
        _check(strings)
        for text in sorted(set(strings) - self._numbers.keys()):
            self._numbers[text] = len(self._strings)
            self._strings.append(text)
        return self.find(strings)

    def find(self, strings: Iterable[str]) -> NDArray[np.int64]:
        """Return the integer ID (n,) of each string. Strings that are not in the map get `UNKNOWN` (-1)."""
        numbers = self._numbers
        return np.array([numbers.get(text, UNKNOWN) for text in strings], np.int64)


def load_id_map(path: AnyPath, *, new: bool = False) -> IdMap:
    """Load the map in the file `path`.

    Args:
        path: the file.
        new: return an empty map if there is no such file.

    Raises:
        InputError: `path` is not a path.
        FormatError: there is no such file, it has another format number, or it is damaged.
    """
    path = to_path(path, "load_id_map: `path`")
    if new and not path.exists():
        return IdMap()
    try:
        head, *lines = path.read_bytes().split(b"\n")
        document: Any = json.loads(head)
        if not isinstance(document, dict) or document.get("kind") != "ids" or document.get("format") != FORMAT:
            raise FormatError(f"ID map: {path} should begin with {_HEAD}; received {head[:80]!r}: give another file")
        if lines.pop() != b"" or len(lines) != document.get("strings"):
            raise ValueError(f"it should have {document.get('strings')} strings; received {len(lines)} complete lines")
        strings = json.loads(b"[" + b",".join(lines) + b"]")
        if len(strings) != len(lines):
            raise ValueError("each line should have one string")
        return IdMap(strings)
    except OSError as error:
        raise FormatError(f"ID map: {path} cannot be read ({error.strerror}): check the path") from None
    except (ValueError, RecursionError, InputError) as error:
        raise FormatError(f"ID map: {path} is damaged ({error}): restore it from a copy") from None


def write_id_map(ids: IdMap, path: AnyPath) -> None:
    """Write a map to the file `path` atomically. The folder of the file is made.

    A map only grows, because models and tables use its numbers. So an existing file must be the beginning of `ids`.

    Raises:
        InputError: `path` is not a path.
        FormatError: the existing file is no map, or is damaged.
        OutputError: the existing file has strings that `ids` does not have at the same numbers.
    """
    path = to_path(path, "write_id_map: `path`")
    existing = load_id_map(path, new=True).strings
    strings = ids.strings
    if strings[: len(existing)] != existing:
        raise OutputError(
            f"ID map: {path} has other numbers than the map that should be written: load it with load_id_map, and add "
            "the strings again (another program may have extended it)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"format": FORMAT, "kind": "ids", "strings": len(strings)}
    lines = [json.dumps(line, ensure_ascii=False) for line in (head, *strings)]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


_HEAD = '{"format": 1, "kind": "ids", ...}'


def _check(strings: Iterable[object]) -> None:
    for text in strings:
        if not isinstance(text, str):
            raise InputError(f"IdMap: IDs should be strings; received {text!r:.80} ({type(text).__name__})")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"IdMap: IDs should be valid Unicode; received {text!a:.80}") from None
