"""The parts of a table: the files that hold its rows. Opening reads their schemas; rows are read file by file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from edgerec.core.errors import LogsError, first_line
from edgerec.data.casting import arrays_as_lists, exact_cast, find_type
from edgerec.data.log_checks import find_schema, lists_of_arrays
from edgerec.data.log_faults import Fault, Found, refuse
from edgerec.data.part_files import folder_columns
from edgerec.data.schema import column_types, columns_to_read, table_features, table_name
from edgerec.features.spec import FeatureSpec

POLARS_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError)
"""Errors that polars raises for a file that it cannot read or write. Some damaged pages cause a panic, which is not an
`Exception`. A file name that is not UTF-8 causes a UnicodeError."""


@dataclass(frozen=True)
class Parts:
    """A table on disk, in any number of files.

    Attributes:
        name: name of the table.
        files: the files, sorted by path. This is the order of writing.
        schema: columns and types of the complete table. A file may have smaller integers, or another order of columns.
        types: the columns that are cast, and the types that they are cast to. A cast must not change a value.
        columns: the columns that the schema of logs and the specification name. Other columns are ignored.
    """

    name: str
    files: tuple[Path, ...]
    schema: pl.Schema
    types: Mapping[str, pl.DataType]
    columns: tuple[str, ...]


def open_parts(name: str, table: Path, files: Sequence[Path], spec: FeatureSpec) -> Parts:
    """Open the table in `files`. Only the schemas of the files are read.

    All parts must have the same columns of those that are read. If they differ, parts without rows are ignored.

    Args:
        name: name of the table.
        table: the table's file or folder.
        files: the files that `edgerec.data.part_files.part_files` returns.
        spec: the feature specification.

    Raises:
        LogsError: there is no file, a file cannot be read, or a column that is read is missing or has a wrong type.
    """
    parts = refuse(find_parts(name, table, files, spec))
    if parts is None:  # for type checkers: without a fault there are parts
        raise LogsError(f"logs: the table {name!r} cannot be read")
    return parts


def find_parts(name: str, table: Path, files: Sequence[Path], spec: FeatureSpec) -> Found[Parts | None]:
    """Find what `open_parts` refuses in the schemas of the files. Return None if there is a fault."""
    if not files:
        where = table if table.suffix else table / "*.parquet"
        yield Fault(
            f"logs: {where} does not exist: the table {name!r} is needed (docs/formats.md)",
            expected=str(where),
            found="no file",
            advice=f"write the table {name!r} (docs/formats.md)",
        )
        return None
    columns = columns_to_read(name, spec)
    schemas: dict[Path, pl.Schema] = {}
    faults = 0
    for file in files:
        try:
            schemas[file] = read_schema(file)
        except LogsError as error:
            faults += 1
            yield unreadable(file, error)
    files = list(schemas)
    if not files:
        return None
    read = {file: {c: schema[c] for c in sorted(columns & set(schema))} for file, schema in schemas.items()}
    if any(types != read[files[0]] for types in read.values()):
        files = [file for file in files if count_rows(file)] or files[:1]
    first, checked = files[0], list[dict[str, pl.DataType]]()
    exact = column_types(name, schemas[first], table_features(name, spec))
    for file in files:
        if read[file] not in checked:
            for fault in _of_file(name, table, file, first, schemas[file], read, exact, columns, spec):
                faults += 1
                yield replace(fault, file=file)
            checked.append(read[file])
    if faults:
        return None
    wide = {file: {**schemas[file], **arrays_as_lists(schemas[file]), **exact} for file in files}
    types = {}
    for column in read[first]:
        common = yield from _find_common_type(name, column, {file: wide[file][column] for file in files})
        if common is None:
            return None
        types[column] = common
    alike = {c for c, dtype in wide[first].items() if all(wide[file].get(c) == dtype for file in files)}
    schema = pl.Schema({c: types.get(c, dtype) for c, dtype in wide[first].items() if c in types or c in alike})
    return Parts(name, tuple(files), schema, exact, tuple(c for c in schema if c in types))


def _of_file(
    name: str,
    table: Path,
    file: Path,
    first: Path,
    schema: pl.Schema,
    read: Mapping[Path, Mapping[str, pl.DataType]],
    exact: Mapping[str, pl.DataType],
    columns: frozenset[str],
    spec: FeatureSpec,
) -> Iterator[Fault]:
    """Yield the faults of the columns of one file. `read` has the columns of each file that are read."""
    lost = sorted((folder_columns(table, file) & columns) - set(read[file]))
    for column in lost:
        yield Fault(
            f"logs: {file} has no column {column!r}; only the name of its folder has the value: "
            "write the column to the file, too",
            expected=f"a column {column!r} in the file",
            found="only the name of its folder has the value",
            advice="write the column to the file, too",
            column=column,
        )
    odd = sorted((set(read[file]) ^ set(read[first])) - set(lost))
    for column in odd:
        yield Fault(
            f"logs: {file} and {first} are parts of one table, but only one of them has the column {column!r}: "
            "write the same columns to both",
            expected="the same columns in all parts",
            found=f"only one of {file.name} and {first.name} has it",
            advice="write the same columns to all parts",
            column=column,
        )
    # Each file is checked before the cast, because a column may hold integers in one part and categories in another.
    refused = {*lost, *odd}
    for column, wanted in exact.items():
        if column in schema:
            where = f"{table_name(name, file)}.{column}"
            for fault in find_type(schema[column], wanted, where=where, column=column):
                refused.add(column)
                yield fault
    try:
        empty = refuse(_find_without_rows(schema, columns))
    except LogsError:
        yield from (_named(fault, file) for fault in _find_without_rows(schema, columns))
        return
    for fault in find_schema(name, empty, spec):
        # A column has one cause: its type, or that it is missing in one of two files.
        if fault.column not in refused:
            yield _named(fault, file)


def _find_without_rows(schema: pl.Schema, columns: frozenset[str]) -> Found[pl.DataFrame]:
    """Return an empty table with the columns of `schema`. Columns that are not read have the type Null."""
    made = {}
    for column, dtype in schema.items():
        try:
            made[column] = pl.Series(column, [], dtype=dtype if column in columns else pl.Null)
        except pl.exceptions.PolarsError:
            # polars can read some decimal types from files, but cannot create a new column of these types.
            yield Fault(
                f"logs: column {column} is {dtype}, which cannot be read: write another type",
                expected="a type that can be read",
                found=str(dtype),
                advice="write another type",
                column=column,
            )
    return pl.DataFrame(list(made.values()))


def _find_common_type(name: str, column: str, types: Mapping[Path, pl.DataType]) -> Found[pl.DataType | None]:
    """Return the type of `column` in the complete table. If parts have different numeric types, it is float64."""
    first, common = next(iter(types.items()))
    for file, received in types.items():
        if received == common or received == pl.Null:
            continue
        lists = isinstance(received, pl.List)
        if common == pl.Null:
            common = received
        elif isinstance(common, pl.List) == lists and _is_number(common) and _is_number(received):
            common = pl.List(pl.Float64()) if lists else pl.Float64()
        else:
            yield Fault(
                f"logs: the parts of {name} have columns of different types: {column} is {types[first]} in {first} and "
                f"{received} in {file}; write one type",
                expected="one type in all parts",
                found=f"{types[first]} in {first.name} and {received} in {file.name}",
                advice="write one type",
                column=column,
                file=file,
            )
            return None
    return common


def _is_number(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return inner.is_numeric() or inner in (pl.Boolean, pl.Null)


def read_schema(file: Path) -> pl.Schema:
    """Return the columns of one file and their types.

    Raises:
        LogsError: the file cannot be read.
    """
    with reading(file):
        return pl.scan_parquet(file, glob=False).collect_schema()


def count_rows(file: Path) -> int:
    """Return the number of rows of the file, from its metadata.

    Raises:
        LogsError: the file cannot be read.
    """
    with reading(file):
        rows: int = pl.scan_parquet(file, glob=False).select(pl.len()).collect().item()
        return rows


def read_parts(parts: Parts, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return all rows of a table, in the order of its files.

    Args:
        parts: the table.
        columns: the columns to read; default: all columns that the parts have in common.

    Raises:
        LogsError: a file cannot be read.
    """
    names = list(parts.schema) if columns is None else list(columns)
    schema = pl.Schema({name: parts.schema[name] for name in names})
    return joined(schema, [cast_part(parts, read_part(file, names), file) for file in parts.files])


def read_part(file: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of one file, without a cast.

    Raises:
        LogsError: the file cannot be read.
    """
    with reading(file):
        return pl.read_parquet(file, columns=None if columns is None else list(columns), glob=False)


def cast_part(parts: Parts, rows: pl.DataFrame, file: Path, *, first_row: int = 1) -> pl.DataFrame:
    """Return `rows` of `file` with the table's types. `first_row` is the number of the first row, counted from 1.

    Raises:
        LogsError: a type or value cannot be cast exactly. The message names the file, column, row and value.
    """
    where = f"{table_name(parts.name, file)}."
    return exact_cast(lists_of_arrays(rows), parts.types, where=where, first_row=first_row)


def joined(schema: pl.Schema, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate `frames` vertically, with the columns and types of `schema`. Frames may have narrower types."""
    wide = [frame if frame.schema == schema else frame.select(list(schema)).cast(schema) for frame in frames]
    return pl.concat(wide, how="vertical") if wide else schema.to_frame()


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn the errors that polars raises for a damaged `file` into LogsError."""
    try:
        yield
    except POLARS_FAULTS as error:
        reason = first_line(error)
        raise LogsError(f"logs: {file} cannot be read as Parquet ({reason}): it is damaged, make it again") from None


def unreadable(file: Path, error: LogsError) -> Fault:
    """Return the fault for the `error` of reading `file`."""
    reason = str(error).removeprefix(f"logs: {file} ").partition(": it is damaged")[0]
    return Fault(str(error), expected="a Parquet file", found=reason, advice="it is damaged: make it again", file=file)


def _named(fault: Fault, file: Path) -> Fault:
    """Add the name of `file` to the text of a fault of its columns."""
    return replace(fault, text=f"logs: {file}: {fault.text.removeprefix('logs: ')}")
