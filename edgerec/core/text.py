"""Format values for people, and escape text from outside so that it is safe to display.

`text_fields.py` has the types of text in documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgerec.core.errors import InputError

UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that are escaped: control characters, which can start terminal escape sequences; marks that change the
text direction or break lines; and surrogates, which Python uses for file names that are not UTF-8."""


def printable(text: str) -> str:
    """Return `text` as one safe line: each run of white space becomes one space, unsafe characters are escaped."""
    return UNSAFE.sub(_escaped, " ".join(text.split()))


def shown(text: str) -> str:
    """Return `text` with unsafe characters escaped and white space unchanged. Use it for names and paths."""
    return UNSAFE.sub(_escaped, text)


def check_utf8(path: Path, *, what: str) -> None:
    """Raise if `path` is not UTF-8, because polars and TensorFlow cannot open such a path.

    Args:
        path: a path. A relative path is checked together with the current folder.
        what: what the path is for, for the error text.

    Raises:
        InputError: the absolute path is not UTF-8.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what}: the path {shown(str(path.absolute()))} should be UTF-8; received other bytes: rename it, or "
            "give another path"
        ) from None


def counted(number: int, one: str, several: str) -> str:
    """Return the number with the noun in the form that belongs to it, such as ``1 process`` or ``3 processes``."""
    return f"{number:,} {one if number == 1 else several}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question for an error text with the name in `known` that is most similar to `name`, or an empty text.

    A known name with a prefix, such as ``cloud.page``, is found without its prefix.
    """
    import difflib  # Only an error text needs it, and a device should not pay for it at every start.

    plain = {_letters(each.rpartition(".")[2]): each for each in known}
    found = difflib.get_close_matches(_letters(name), plain, n=1)
    return f" (did you mean {plain[found[0]]}?)" if found else ""


def _letters(name: str) -> str:
    return re.sub("[-_. ]", "", name).lower()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def format_value(value: Any) -> str:
    """Return a value as text for people: integers with thousands separators, floats with four digits, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
    return str(value)
