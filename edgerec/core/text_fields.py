"""Types of text fields for the pydantic models of documents."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from edgerec.core.text import UNSAFE

MAX_CHARACTERS = 256
"""Maximum number of characters in a name."""
MAX_PATH = 4096
"""Maximum number of characters in a path or a value. It equals PATH_MAX of Linux."""


def _safe(text: str) -> str:
    if UNSAFE.search(text):
        raise ValueError("should be text without control characters")
    return text


def _short(path: str) -> str:
    if len(path) > MAX_PATH:
        raise ValueError(f"should have at most {MAX_PATH} characters")
    return path


Name = Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(_safe)]
"""A name or a version id. pydantic refuses surrogates in a text with a maximum length."""
Value = Annotated[StrictStr, Field(max_length=MAX_PATH)]
"""A value of a column in the logs: any valid Unicode text."""
PathText = Annotated[str, AfterValidator(_short)]
"""A path. A path that is not UTF-8 contains surrogates, as in Python's file names."""
