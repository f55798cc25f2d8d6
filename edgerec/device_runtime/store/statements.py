"""The SQL statements of the store. They are in the files of `sql/`, so that a port to another language can use them."""

from __future__ import annotations

import re
from pathlib import Path

SQL = Path(__file__).with_name("sql")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def read_statements(file: str, *, kind: str = "") -> dict[str, str]:
    """Return the statements of one file by name. A line ``-- name: NAME`` precedes each statement.

    Args:
        file: the name of the file without ``.sql``.
        kind: the name of a kind of behaviour. It replaces ``{kind}`` in the statements.
    """
    text = (SQL / f"{file}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text.replace("{kind}", kind))
    return {name: statement.strip() for name, statement in zip(parts[::2], parts[1::2], strict=True)}


def read_migrations() -> tuple[str, ...]:
    """Return the scripts that make format 1 from an empty file, format 2 from format 1, and so on."""
    files = sorted((SQL / "migrations").glob("*.sql"), key=lambda file: int(file.stem))
    return tuple(file.read_text("utf-8") for file in files)
