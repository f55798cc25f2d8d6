"""Paths that a caller gives."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edgerec.core.errors import InputError
from edgerec.core.text import shown

_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def as_path(value: object, what: str) -> Path:
    """`value`, a path or its text, as a path that the system can be asked about; it need not exist.

    Args:
        value: of the caller.
        what: it is the path of; stands in the error.

    Raises:
        InputError: it is something else, or no path of this system (with a null character, or too long).
    """
    if not isinstance(value, (str, Path)):
        raise InputError(f"{what} should be a path. Received: {type(value).__name__}")
    try:
        os.stat(value)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise InputError(f"{what}: {shown(str(value)[:200])} cannot be opened: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{what}: {shown(str(value)[:200])} is no path: {error}") from None
    return Path(value)
