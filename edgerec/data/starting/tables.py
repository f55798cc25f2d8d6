"""Read the first rows of a CSV or Parquet file, to see what its columns are."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from edgerec.core.errors import InputError, first_line
from edgerec.core.text import UNSAFE, check_utf8, shown
from edgerec.data.casting import NUMBER, WHOLE, is_text
from edgerec.data.read_csv import line_fault

ROWS = 500_000
"""Default for the number of rows that are read of each file."""
MAX_COLUMNS = 1000
"""A file with more columns is probably not a table of impressions: its separator or its shape is another one."""
MAX_NAME = 40
"""Longer names of columns are not used: a line of the script would become too long."""
MAX_FILE_NAME = 80
NULLS = ("NULL", "null", "NaN", "nan", "\\N")
"""Texts in a CSV file that mean that there is no value."""
MARKERS = ("", "NA", "N/A", "n/a", "na", "#N/A", "-", "--", "?", "None", "none", "nil", "missing", "unknown")
"""Texts that mean the same in a column whose other values are numbers."""
_NEARLY_ALL = 0.9
SEPARATORS = ",\t;|"
_OTHER_FORMATS = (
    (b"\x1f\x8b", "compressed", "let its name end in .csv.gz"),
    (b"PAR1", "a Parquet file", "let its name end in .parquet"),
    (b"\xff\xfe", "UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16", "save it as UTF-8"),
    (b"PK", "a spreadsheet or an archive", "save it as CSV"),
)
_CSV, _PARQUET = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz"), (".parquet", ".pq")


@dataclass(frozen=True)
class ListRows:
    """How a table with one row for each list became one with a row for each item.

    Attributes:
        source: the columns of the file that this needs.
        roles: the columns that have the items, the clicks and the places.
        steps: the lines of the script that do it. In them, `rows` is the table.
        splits: whether they split texts into lists.
    """

    source: tuple[str, ...]
    roles: dict[str, str]
    steps: tuple[str, ...]
    splits: bool = False


@dataclass(frozen=True)
class Table:
    """The first rows of a file.

    Attributes:
        path: the file.
        kind: how it is read.
        separator: what is between two values of a CSV file.
        rows: the rows that were read. Texts are strings, and all other types are those that polars found.
        complete: whether these are all rows of the file.
        list_rows: how one row for each item was made, if a row of the file has a whole list.
        nulls_of: columns of numbers in which some texts mean that there is no value.
        mixed: columns of texts that are nearly all numbers, with an example of the other texts.
        decimals: columns of a Parquet file that were decimals.
    """

    path: Path
    kind: Literal["csv", "parquet"]
    separator: str
    rows: pl.DataFrame
    complete: bool
    list_rows: ListRows | None = None
    nulls_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mixed: Mapping[str, str] = field(default_factory=dict)
    decimals: tuple[str, ...] = ()

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
    separator = ","
    try:
        if name.endswith(_CSV):
            separator = _separator(path)
            found, nulls_of, mixed = _read_csv(path, separator, rows + 1)
        else:
            separator, nulls_of, mixed = "", {}, {}
            found = pl.scan_parquet(path).head(rows + 1).collect().fill_nan(None)
    except (pl.exceptions.PolarsError, OSError, EOFError, ValueError) as error:
        if isinstance(error, pl.exceptions.NoDataError):
            raise InputError(f"input {path} is empty: give a file with a line of names and with rows") from None
        if name.endswith(_CSV) and (fault := line_fault(path, separator)) is not None:
            raise InputError(f"input {path}: {fault}") from None
        format_name = "CSV" if name.endswith(_CSV) else "Parquet"
        raise InputError(
            f"input {path} cannot be read as {format_name} ({shown(first_line(error))}): check the file"
        ) from None
    _check_shape(path, found, separator)
    texts = [column for column, dtype in found.schema.items() if is_text(dtype)]
    found = found.with_columns(pl.col(texts).cast(pl.String)) if texts else found
    decimals = {column: _decimal(dtype) for column, dtype in found.schema.items() if isinstance(dtype, pl.Decimal)}
    found = found.cast(decimals) if decimals else found  # type: ignore[arg-type]
    kind: Literal["csv", "parquet"] = "csv" if separator else "parquet"
    return Table(
        path, kind, separator, found.head(rows), len(found) <= rows,
        nulls_of=nulls_of, mixed=mixed, decimals=tuple(decimals),
    )  # fmt: skip


def _read_csv(path: Path, separator: str, rows: int) -> tuple[pl.DataFrame, dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the first rows, the further nulls of columns of numbers, and examples of texts among numbers."""
    options: dict[str, Any] = {"separator": separator, "null_values": list(NULLS)}
    try:
        found = pl.read_csv(path, n_rows=rows, infer_schema_length=rows, **options)
    except pl.exceptions.ComputeError:
        # polars parses some rows more than it is told, and one of them has another type. The script will name it.
        read = pl.read_csv(path, n_rows=rows, infer_schema=False, **options)
        long = [column for column in read.columns if read[column].str.contains(r"^-?[0-9]{38,}$").any()]
        content = io.BytesIO(read.write_csv().encode())
        found = pl.read_csv(content, infer_schema_length=None, schema_overrides=dict.fromkeys(long, pl.String()))
    numbers = [column for column, dtype in found.schema.items() if dtype.is_numeric()]
    texts = pl.read_csv(path, n_rows=rows, infer_schema=False, columns=numbers, **options) if numbers else found
    kept = [column for column in numbers if _is_text_of_digits(found[column], texts[column])]
    found = found.with_columns(texts[column] for column in kept)
    nulls_of: dict[str, tuple[str, ...]] = {}
    mixed: dict[str, str] = {}
    for column in [column for column, dtype in found.schema.items() if is_text(dtype)]:
        values = found[column].drop_nulls()
        others = values.filter(~values.str.contains(NUMBER))
        if column in kept or not 0 < len(others) < len(values) / 2:
            continue
        different = sorted(set(others))
        if set(different) <= set(MARKERS):
            nulls_of[column] = tuple(different)
            whole = bool(values.filter(values.str.contains(NUMBER)).str.contains(WHOLE).all())
            known = found[column].replace(different, None)
            found = found.with_columns(known.cast(pl.Int64 if whole else pl.Float64).alias(column))
        elif len(others) <= (1 - _NEARLY_ALL) * len(values):
            mixed[column] = next(each for each in different if each not in MARKERS)
    return found, nulls_of, mixed


def _is_text_of_digits(numbers: pl.Series, texts: pl.Series) -> bool:
    """Return whether numbers must stay texts: they have leading zeros, or more digits than their type holds."""
    if numbers.dtype.is_float():
        known = numbers.drop_nulls()
        large = known.filter(known.is_finite() & (known.abs() >= 2**53))
        return len(large) > 0 and bool(texts.str.contains(r"^-?[0-9]{16,}$").any())
    wide = numbers.dtype not in (pl.Int8, pl.Int16, pl.Int32, pl.Int64) and int(numbers.max() or 0) >= 2**63  # type: ignore[arg-type]
    return wide or bool(texts.str.contains(r"^-?0[0-9]").any())


def _decimal(dtype: pl.Decimal) -> type[pl.Int64] | type[pl.Float64]:
    return pl.Int64 if dtype.scale == 0 and (dtype.precision or 38) <= 18 else pl.Float64


def _separator(path: Path) -> str:
    """Return the separator that the line of names has most often."""
    import gzip

    with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as file:
        line = file.readline(1 << 20)
    if not line:
        raise InputError(f"input {path} is empty: give a file with a line of names and with rows")
    for start, what, advice in _OTHER_FORMATS:
        if line.startswith(start):
            raise InputError(f"input {path} should be a CSV file; it is {what}: {advice}")
    if b"\x00" in line:
        raise InputError(f"input {path} should be a CSV file; its first line has binary data: check the file")
    return max(SEPARATORS, key=lambda each: line.count(each.encode()))


def _check_shape(path: Path, rows: pl.DataFrame, separator: str) -> None:
    if not len(rows):
        raise InputError(f"input {path} has no rows: give a file with at least one impression")
    if rows.width > MAX_COLUMNS:
        raise InputError(f"input {path} should have at most {MAX_COLUMNS} columns; received {rows.width}")
    data = [name for name in rows.columns if re.fullmatch(r"-?\d+(\.\d+)?|\d{4}-\d\d-\d\d.*", name)]
    if separator and len(data) >= 2:
        raise InputError(
            f"input {path} should have the names of the columns in its first line; received values such as "
            f"{shown(data[0])!r}: write a line of names above them"
        )
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
