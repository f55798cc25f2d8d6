"""Text that came from outside: how it is shown, and what a document may hold of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from edgerec.core.errors import InputError

MAX_CHARACTERS = 256
"""Of a name: more than EdgeRec writes itself."""
MAX_PATH = 4096
"""Of a path, and of a value: PATH_MAX of Linux."""

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


def _safe(text: str) -> str:
    if UNSAFE.search(text):
        raise ValueError("should be text without control characters")
    return text


def _short(path: str) -> str:
    if len(path) > MAX_PATH:
        raise ValueError(f"should have at most {MAX_PATH} characters")
    return path


Name = Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(_safe)]
"""A name or a version in a document. pydantic itself refuses lone surrogates here, because the length is limited."""
Value = Annotated[StrictStr, Field(max_length=MAX_PATH)]
"""A value that a column of the logs may have: any valid Unicode."""
PathText = Annotated[str, AfterValidator(_short)]
"""A path. One that is not UTF-8 has surrogates, as Python's own file names have."""
