"""Read the first rows of a CSV or Parquet file, to see what its columns are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from edgerec.core.errors import InputError, first_line
from edgerec.core.text import UNSAFE, check_utf8, shown
from edgerec.data.casting import is_text

ROWS = 500_000
"""Default for the number of rows that are read of each file."""
MAX_COLUMNS = 1000
"""A file with more columns is probably not a table of impressions: its separator or its shape is another one."""
MAX_NAME = 40
"""Longer names of columns are not used: a line of the script would become too long."""
MAX_FILE_NAME = 80
NULLS = ("NULL", "null", "NaN", "nan", "\\N")
"""Texts in a CSV file that mean that there is no value."""
SEPARATORS = ",\t;|"
_CSV, _PARQUET = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz"), (".parquet", ".pq")


@dataclass(frozen=True)
class Table:
    """The first rows of a file.

    Attributes:
        path: the file.
        kind: how it is read.
        separator: what is between two values of a CSV file.
        rows: the rows that were read. Texts are strings, and all other types are those that polars found.
        complete: whether these are all rows of the file.
    """

    path: Path
    kind: Literal["csv", "parquet"]
    separator: str
    rows: pl.DataFrame
    complete: bool

    @property
    def name(self) -> str:
        return self.path.name


def read_table(path: Path, *, rows: int = ROWS) -> Table:
    """Read the first `rows` rows of a file.

    Raises:
        InputError: the file does not exist, is neither CSV nor Parquet, has no rows, too many columns, or a name that
            cannot be used.
    """
    check_utf8(path, what="input")
    if not path.is_file():
        raise InputError(f"input {path} should be a CSV or Parquet file; received a path that is no file")
    if len(path.name) > MAX_FILE_NAME or UNSAFE.search(path.name) or set(path.name) & set('"\\'):
        raise InputError(
            f"input {path} should have a name of at most {MAX_FILE_NAME} characters, without quotes, backslashes and "
            "control characters: rename it"
        )
    name = path.name.lower()
    if not name.endswith((*_CSV, *_PARQUET)):
        raise InputError(
            f"input {path} should be CSV ({', '.join(_CSV)}) or Parquet ({', '.join(_PARQUET)}): convert or rename it"
        )
    try:
        if name.endswith(_CSV):
            separator = _separator(path)
            found = pl.read_csv(
                path,
                n_rows=rows + 1,
                infer_schema_length=rows + 1,
                separator=separator,
                null_values=list(NULLS),
            )
        else:
            separator = ""
            found = pl.scan_parquet(path).head(rows + 1).collect().fill_nan(None)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        if isinstance(error, pl.exceptions.NoDataError):
            raise InputError(f"input {path} is empty: give a file with a line of names and with rows") from None
        kind = "CSV" if name.endswith(_CSV) else "Parquet"
        raise InputError(
            f"input {path} cannot be read as {kind} ({shown(first_line(error))}): check the file"
        ) from None
    _check_shape(path, found, separator)
    texts = [column for column, dtype in found.schema.items() if is_text(dtype)]
    found = found.with_columns(pl.col(texts).cast(pl.String)) if texts else found
    return Table(path, "csv" if separator else "parquet", separator, found.head(rows), len(found) <= rows)


def _separator(path: Path) -> str:
    """Return the separator that the line of names has most often."""
    import gzip

    with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as file:
        line = file.readline(1 << 20)
    if not line:
        raise InputError(f"input {path} is empty: give a file with a line of names and with rows")
    if b"\x00" in line:
        raise InputError(f"input {path} should be a CSV file; its first line has binary data: check the file")
    return max(SEPARATORS, key=lambda each: line.count(each.encode()))


def _check_shape(path: Path, rows: pl.DataFrame, separator: str) -> None:
    if not len(rows):
        raise InputError(f"input {path} has no rows: give a file with at least one impression")
    if rows.width > MAX_COLUMNS:
        raise InputError(f"input {path} should have at most {MAX_COLUMNS} columns; received {rows.width}")
    if rows.width < 2:
        advice = f": separate values by one of {SEPARATORS!r}" if separator else ""
        raise InputError(f"input {path} should have several columns; received only {shown(rows.columns[0])!r}{advice}")


def unusable_name(column: str) -> str | None:
    """Return why the name of a column cannot be used in the script, or None if it can."""
    if UNSAFE.search(column):
        return "its name has control characters: rename it"
    if not column.strip():
        return "it has no name"
    if len(column) > MAX_NAME:
        return f"its name is longer than {MAX_NAME} characters: rename it if you need it"
    return None
