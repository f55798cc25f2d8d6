"""Text for people: values, and text that came from outside. `text_fields.py` has what a document may hold of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgerec.core.errors import InputError

UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, which begin the escape sequences of terminals; marks that change the direction of writing or
break the line; surrogates, which stand for the bytes of a file name that is not UTF-8."""


def printable(text: str) -> str:
    """Return `text` as one line that is safe to show: white space as one space, other unsafe characters escaped."""
    return UNSAFE.sub(_escaped, " ".join(text.split()))


def shown(text: str) -> str:
    """As `printable`, with the spaces of `text` as they are: for names and paths."""
    return UNSAFE.sub(_escaped, text)


def check_utf8(path: Path, *, what: str) -> None:
    """Refuse a path that is not UTF-8 before polars or TensorFlow are asked for it: neither can open it.

    Raises:
        InputError: `path`, or the folder that it starts from, is not UTF-8; `what` it is stands in the text.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what}: the path {shown(str(path.absolute()))} should be UTF-8; received bytes that are not: rename it, "
            "or give another place"
        ) from None


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def format_value(value: Any) -> str:
    """Return a value as text for people: integers with thousands separators, floats with four digits."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
    return str(value)
