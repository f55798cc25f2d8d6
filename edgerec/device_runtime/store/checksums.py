"""Checksums of the rows of a behaviour store. SQLite has none in its file, so it does not notice a changed number.

Triggers write them. They belong to the connection and are not in the file, because they call a function of Python.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from zlib import crc32

TABLES = (
    "store",
    "exposures",
    "page_views",
    "exposure_encodings",
    "page_view_encodings",
    "recurrences",
    "open_requests",
    "clicks",
    "requests",
    "mixing",
    "personal_events",
    "patches",
    "personal_model",
)
FIRST_TABLES = frozenset(TABLES) - {"mixing", "personal_events", "patches", "personal_model"}
"""The tables of format 1. A store of any format has them."""
COLUMN = "checksum"
NULL = "'null'"


def write_checksums(connection: sqlite3.Connection, *, all_rows: bool) -> None:
    """Let every row that this connection writes get its checksum, and with `all_rows` also those that are there."""
    connection.create_function(COLUMN, 1, crc32, deterministic=True)
    for table in TABLES:
        names = _columns(connection, table)
        if all_rows:
            connection.execute(f"UPDATE {table} SET {COLUMN} = {COLUMN}({_row(names)})")
        work = f"BEGIN UPDATE {table} SET {COLUMN} = {COLUMN}({_row(names, 'NEW.')}) WHERE rowid = NEW.rowid; END"
        update = f"UPDATE OF {', '.join(names)}"
        # A statement that inserts a large row gives it its checksum, because SQLite would write the whole row again.
        for name, event, when in (("insert", "INSERT", f"WHEN NEW.{COLUMN} IS NULL"), ("update", update, "")):
            connection.execute(f"CREATE TEMP TRIGGER {table}_{name} AFTER {event} ON main.{table} {when} {work}")


def damage(connection: sqlite3.Connection, migrations: Sequence[str]) -> str | None:
    """Return what is damaged in the file, or None if nothing is. This reads the whole file.

    Args:
        connection: the file.
        migrations: the scripts that make its tables. The names of columns are text in the file, too.

    Raises:
        sqlite3.Error: the damage stops SQLite.
    """
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        return str(found).splitlines()[-1]
    with contextlib.closing(sqlite3.connect(":memory:")) as new:
        for script in migrations:
            new.executescript(script)
        if _layout(new) != _layout(connection):
            return "its tables have other columns"
    for table in TABLES:
        row = row_expression(connection, table)
        for wanted, content in connection.execute(f"SELECT {COLUMN}, {row} FROM {table}"):
            if wanted != crc32(content):
                return f"a row of the table `{table}` was changed"
    return None


def row_expression(connection: sqlite3.Connection, table: str) -> str:
    """Return the expression of the bytes of a row whose CRC-32 is its checksum."""
    return _row(_columns(connection, table))


def _layout(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    return [connection.execute(f"PRAGMA main.table_info({table})").fetchall() for table in TABLES]


def _row(names: list[str], prefix: str = "") -> str:
    """Return the expression of the bytes of a row: its columns, with 0x1F between them. A missing value is `null`."""
    return f"CAST({' || char(31) || '.join(f'ifnull({prefix}{name}, {NULL})' for name in names)} AS BLOB)"


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    names = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})") if row[1] != COLUMN]
    if not names:
        raise sqlite3.OperationalError(f"no such table: {table}")
    return names
