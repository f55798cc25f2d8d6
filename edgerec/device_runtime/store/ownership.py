"""Whether a file is a behaviour store, and whose, also if it is damaged. Nothing is changed here."""

from __future__ import annotations

import contextlib
import mmap
import sqlite3
from pathlib import Path
from zlib import crc32

from edgerec.device_runtime.store.checksums import COLUMN, TABLES, row_expression

APPLICATION_ID = 0x45524253
"""SQLite's `application_id` of a behaviour store: "ERBS"."""
_MAGIC = b"SQLite format 3\0"
_ID_AT = 68
"""Where `application_id` is in the header of a SQLite file: 4 bytes, the highest first."""
_TABLES_FOUND = 5
"""So many of the tables prove that a file without a whole header is a behaviour store."""


def is_store(path: Path) -> bool:
    """Return whether a file that is not empty is a behaviour store, or was one before it was damaged.

    Its header says so, or the rows in which SQLite describes its tables do. All other files belong to others. The file
    may not be open as a database in this process: closing any descriptor of it ends the locks of SQLite.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(_ID_AT + 4)
        if header.startswith(_MAGIC) and header[_ID_AT:] == APPLICATION_ID.to_bytes(4, "big"):
            return True
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # The kind, the name and the table of a description stand side by side in the file.
            return sum(content.find(f"table{name}{name}".encode()) >= 0 for name in TABLES) >= _TABLES_FOUND


def owner(path: Path) -> int | None:
    """Return the user of a store that may be damaged; None if that cannot be read, or its checksum is wrong."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as file:
            sql = f"SELECT user_id, {COLUMN}, {row_expression(file, 'store')} FROM store"
            user_id, checksum, content = file.execute(sql).fetchone()
    except (sqlite3.Error, OverflowError, UnicodeError, TypeError):
        return None
    return user_id if isinstance(user_id, int) and checksum == crc32(content) else None
