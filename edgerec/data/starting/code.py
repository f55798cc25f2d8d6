"""Texts from outside in the script: literals and comments that cannot become code."""

from __future__ import annotations

import re
import textwrap

from edgerec.core.text import printable

WIDTH = 120


def quoted(text: str) -> str:
    """Return a text as a Python literal, with the quotes that ruff format prefers."""
    # repr escapes a quote only if the text has both kinds, so the two parts are escaped apart.
    quote, other = ("'", '"') if text.count('"') > text.count("'") else ('"', "'")
    inner = other.join(repr(part)[1:-1] if quote not in part else _escaped(part, quote) for part in text.split(other))
    return f"{quote}{inner}{quote}"


def _escaped(part: str, quote: str) -> str:
    return f"\\{quote}".join(repr(each)[1:-1] for each in part.split(quote))


def comment(text: str, indent: int = 0) -> str:
    """Return a text as lines of comments. A text of several lines stays a comment."""
    start = " " * indent + "# "
    return "\n".join(textwrap.wrap(printable(text), WIDTH, initial_indent=start, subsequent_indent=start))


def plain_name(text: str) -> str:
    """Return the name of a column as a name in Python: small letters, digits and ``_``, with a letter first."""
    plain = re.sub(r"[^0-9a-z]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()).strip("_")
    return plain if plain[:1].isalpha() else f"x_{plain}".rstrip("_")
