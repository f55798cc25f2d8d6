"""Read a CSV file with the types that a converter expects. A value of another type is named with its row and column."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import polars as pl

from edgerec.core.errors import InputError, first_line
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import shown

_TRUTHS = {"true": True, "TRUE": True, "True": True, "false": False, "FALSE": False, "False": False}
_FAULTS = (pl.exceptions.PolarsError, OSError, EOFError, ValueError)


def read_csv(
    path: AnyPath,
    columns: Mapping[str, Any],
    *,
    separator: str = ",",
    nulls: Sequence[str] = (),
    nulls_of: Mapping[str, Sequence[str]] | None = None,
    times: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Read columns of a CSV file, which may be compressed (``.gz``).

    Args:
        path: the file. Its first line has the names of the columns.
        columns: the columns to read, with their polars types.
        separator: what is between two values.
        nulls: texts that mean that there is no value.
        nulls_of: more of them, for some columns only.
        times: columns of texts that are times, with their format (``%Y-%m-%d %H:%M:%S``). They become milliseconds
            since 1970. A time without a zone is in UTC.

    Raises:
        InputError: a value has another type or format, a column does not exist, the file is no CSV file, or an argument
            is wrong. The first row after the names is row 1.
    """
    path = to_path(path, "read_csv: `path`")
    more, times = dict(nulls_of or {}), dict(times or {})
    _check_arguments(columns, separator, {"nulls_of": more, "times": times})
    types = {name: pl.String() if name in more else dtype for name, dtype in columns.items()}
    options: dict[str, Any] = {"separator": separator, "null_values": list(nulls)}
    try:
        # polars notices that a row has too many values only if it reads the last column.
        last = _check_columns(path, columns, separator)
        options["columns"] = list(dict.fromkeys([*columns, last]))
        rows = pl.read_csv(path, schema_overrides={last: pl.String(), **types}, **options)
        rows = rows.select(list(columns)).with_columns(
            _typed(pl.col(name).replace(list(texts), None), columns[name]) for name, texts in more.items()
        )
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except pl.exceptions.NoDataError:
        raise InputError(f"{path} is empty: give a file with a line of names") from None
    except _FAULTS as error:
        fault = line_fault(path, separator)
        if fault is None:
            with contextlib.suppress(*_FAULTS):  # Then the first error says what is wrong.
                texts = pl.read_csv(path, infer_schema=False, **options)
                texts = texts.with_columns(pl.col(name).replace(list(each), None) for name, each in more.items())
                _check_values(texts, columns, path)
        raise InputError(f"{path}: {fault or shown(first_line(error))}") from None
    return _with_times(rows, times, path)


def _check_arguments(columns: Mapping[str, Any], separator: str, named: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the types, the separator, and whether each column that `named` has by argument is one of `columns`."""
    for name, dtype in columns.items():
        if not (isinstance(dtype, pl.DataType) or (isinstance(dtype, type) and issubclass(dtype, pl.DataType))):
            raise InputError(
                f"read_csv: `columns` should have polars types, such as pl.Int64; received {shown(repr(dtype)[:80])} "
                f"for {shown(name)!r}"
            )
    if not isinstance(separator, str) or len(separator.encode()) != 1 or separator in '"\r\n':
        raise InputError(f"read_csv: `separator` should be one character, such as ','; received {separator!r:.80}")
    for written in named["times"].values():
        if not isinstance(written, str):
            raise InputError(f"read_csv: `times` should have formats, such as '%Y-%m-%d'; received {written!r:.80}")
    for argument, given in named.items():
        other = next((name for name in given if name not in columns), None)
        if other is not None:
            raise InputError(f"read_csv: `{argument}` has the column {shown(other)!r}, which `columns` has not: add it")


def _typed(texts: pl.Expr, dtype: Any) -> pl.Expr:
    return texts.replace_strict(_TRUTHS, return_dtype=pl.Boolean) if dtype == pl.Boolean else texts.cast(dtype)


def line_fault(path: Path, separator: str) -> str | None:
    """Return what is wrong with the lines of a CSV file: it is no UTF-8, or a line has too many values. Or None."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    part = line[max(error.start - 20, 0) : error.start + 20].decode("latin-1").strip()
                    return f"line {number} is not UTF-8, near {shown(part)!r}: save the file as UTF-8"
        with io.TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="") as text:
            return _row_fault(csv.reader(text, delimiter=separator, strict=True))
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        return shown(first_line(error))


def _row_fault(lines: Iterator[list[str]]) -> str | None:
    names = next((line for line in lines if line), [])
    row = 0
    while True:
        row += 1
        try:
            line = next(lines)
        except StopIteration:
            return None
        except csv.Error as error:
            return f"row {row}: {error}: is a quote not closed?"
        if len(line) > len(names):
            return (
                f"row {row} has {len(line)} values, and the line of names has {len(names)}: correct the row, or the "
                f"first line {shown(', '.join(names)[:60])!r}"
            )


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _check_columns(path: Path, columns: Mapping[str, Any], separator: str) -> str:
    """Return the name of the last column of the file. Raise an InputError if a column is missing."""
    there = pl.read_csv(path, n_rows=0, infer_schema=False, separator=separator).columns
    missing = [name for name in columns if name not in there]
    if missing:
        raise InputError(
            f"{path} has no column {shown(missing[0])!r}; its columns are: {', '.join(map(shown, there[:20]))}"
        )
    return there[-1]


def _check_values(texts: pl.DataFrame, columns: Mapping[str, Any], path: Path) -> None:
    """Raise an InputError for the first value of each column of numbers or truths that has not the column's type."""
    faults = []
    for name, dtype in columns.items():
        if not dtype.is_numeric() and dtype != pl.Boolean:
            continue
        values = texts[name]
        good = values.is_in(list(_TRUTHS)) if dtype == pl.Boolean else values.cast(dtype, strict=False).is_not_null()
        wrong = (values.is_not_null() & ~good.fill_null(False)).arg_true()
        if len(wrong):
            first = int(wrong[0])
            found = f"{shown(repr(values[first]))} is no {_type_in_words(dtype)}{_more(wrong)}"
            faults.append(f"row {first + 1}, column {shown(name)!r}: {found}")
    if faults:
        more = f"; {'; '.join(faults[1:5])}" if len(faults) > 1 else ""
        raise InputError(
            f"{path}: {faults[0]}{more}: correct the file, add the text to the nulls if it means that there is no "
            "value, or read the column as pl.Float64 or pl.String"
        )


def _more(wrong: pl.Series) -> str:
    """Return how many values are wrong besides the first one, or an empty text."""
    return f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""


def _type_in_words(dtype: pl.DataType) -> str:
    return "whole number" if dtype.is_integer() else "true or false" if dtype == pl.Boolean else "number"


def _with_times(rows: pl.DataFrame, times: Mapping[str, str], path: Path) -> pl.DataFrame:
    for name, written in times.items():
        texts = rows[name].cast(pl.String)
        found = texts.to_frame(name).select(pl.col(name).str.to_datetime(written, time_unit="ms", strict=False))
        wrong = (texts.is_not_null() & found[name].is_null()).arg_true()
        if len(wrong):
            first = int(wrong[0])
            raise InputError(
                f"{path}: row {first + 1}, column {shown(name)!r}: {shown(repr(texts[first]))} is no time of the "
                f"format {written}{_more(wrong)}: correct the file, or the format in the script"
            )
        rows = rows.with_columns(found[name].dt.epoch("ms"))
    return rows
