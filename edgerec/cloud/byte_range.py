"""Requests for a part of a file (RFC 9110, section 14), so that a download can resume."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)


class UnsatisfiableRangeError(ValueError):
    """The range begins at or after the end of the file."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte of the wanted part and the one after its last byte, or None for the whole file.

    Several ranges and other units are ignored, as the standard allows.

    Args:
        header: the value of the header `Range`.
        size: the size of the file in bytes.

    Raises:
        UnsatisfiableRangeError: the range begins at or after the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(size - int(suffix), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None  # The header is not valid, so it is ignored.
    if start >= size:
        raise UnsatisfiableRangeError
    return start, stop
