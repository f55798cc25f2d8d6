"""The access log: one line of JSON for each request. It has neither the ID of a user nor a token."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from edgerec.core.errors import OutputError

LOOK_S = 1.0
"""The name of the file is looked at so often, in seconds, so that a renamed file (log rotation) is left."""


class AccessLog:
    """Appends lines to a file. One thread at a time may use it.

    A line that cannot be written, for example because the disk is full, is counted in `lost`; the request is answered
    all the same. If the file was renamed or removed, a new one is begun within a second.

    Args:
        path: the file. None: standard error.

    Raises:
        OutputError: the file cannot be opened, or it contains something else.
    """

    def __init__(self, path: Path | None) -> None:
        self.lost = 0
        self._path = path
        self._look_at = time.monotonic() + LOOK_S
        try:
            if path is not None and _is_other(path):
                raise OutputError(f"access log: {path} contains something else than such lines: choose another file")
            self._handle = 2 if path is None else _open(path)
        except OSError as error:
            raise OutputError(f"access log: {path} cannot be written ({error.strerror}): choose another file") from None

    def write(self, **fields: Any) -> None:
        """Write one line: the time in milliseconds since 1970, and `fields`."""
        line = (json.dumps({"time": int(time.time() * 1000), **fields}) + "\n").encode()
        if self._path is not None and time.monotonic() >= self._look_at:
            self._look(self._path)
        try:
            # One call appends the whole line. So lines of several processes do not mix.
            if os.write(self._handle, line) < len(line):
                self.lost += 1
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._handle)

    def _look(self, path: Path) -> None:
        self._look_at = time.monotonic() + LOOK_S
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(self._handle)):
                return
        with contextlib.suppress(OSError):
            handle = _open(path)
            os.close(self._handle)
            self._handle = handle


def _is_other(path: Path) -> bool:
    """Return whether a file exists whose first line is not one of an access log."""
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except FileNotFoundError:
        return False
    return begin not in (b"", b'{"time":')


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
