"""Types of text in documents, for pydantic models."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from edgerec.core.text import UNSAFE

MAX_CHARACTERS = 256
"""Longest name, in characters. EdgeRec's own names are shorter."""
MAX_PATH = 4096
"""Longest path or value, in characters: PATH_MAX of Linux."""


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
