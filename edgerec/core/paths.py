"""Check paths that a caller gives."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edgerec.core.errors import InputError
from edgerec.core.text import shown

_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def as_path(value: object, what: str) -> Path:
    """Return `value` as a path that is valid on this system. The path need not exist.

    Args:
        value: a path, or its text.
        what: what the path is for, for the error text.

    Raises:
        InputError: `value` is neither text nor a path, or it is not a valid path (too long, or with a null character).
    """
    if not isinstance(value, (str, Path)):
        raise InputError(f"{what} should be a path; received {type(value).__name__}")
    try:
        os.stat(value)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise InputError(f"{what}: {shown(str(value)[:200])} cannot be opened: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{what}: {shown(str(value)[:200])} is not a valid path: {error}") from None
    return Path(value)
