"""Files of a damaged store: they get another name, so that a new store can start. They are never deleted here."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

from edgerec.core.errors import StoreError

LOGS = ("-wal", "-shm", "-journal")
SUFFIXES = (*LOGS, "")
"""What SQLite adds to the name of a file. A log without its file is harmless; a new file with an old log is not."""


def move_aside(path: Path, reason: str) -> Path:
    """Rename the files of a damaged store to `NAME.damaged-TIME`. Return the new path.

    Args:
        path: the file of the store, which is not open.
        reason: what is damaged, for the log.

    Raises:
        StoreError: a file cannot be renamed.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target, number = path.with_name(f"{path.name}.damaged-{stamp}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    try:
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{target}{suffix}")
    except OSError as error:
        raise StoreError(f"behaviour store {path} is damaged and cannot be renamed ({error.strerror})") from None
    logging.getLogger(__name__).warning(
        "%s; it is now %s, and a new store starts. Rows that were not sent are in the old file only", reason, target
    )
    return target


def damaged_files(path: Path) -> list[Path]:
    """Return the files that `move_aside` made from the store at `path`."""
    return sorted(path.parent.glob(f"{_literal(path.name)}.damaged-*"))


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
