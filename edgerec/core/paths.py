"""Check paths that a caller gives."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edgerec.core.errors import InputError
from edgerec.core.text import shown

AnyPath = str | os.PathLike[str]
"""A path as a caller gives it."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def to_path(value: object, what: str) -> Path:
    """Return `value` as a path that is valid on this system. The path need not exist.

    Args:
        value: a string, or a path object.
        what: the function and its argument, for the error text.

    Raises:
        InputError: `value` is neither a string nor a path object, or it is not a valid path (too long, or with
            characters that are not allowed).
    """
    text = value.__fspath__() if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise InputError(f"{what} should be a path (a string or a pathlib.Path); received {type(value).__name__}")
    path = Path(text)
    try:
        os.stat(path)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise InputError(f"{what}: {shown(text[:200])} cannot be opened: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{what}: {shown(text[:200])} is not a valid path: {error}") from None
    return path
