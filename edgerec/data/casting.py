"""Cast columns that come from files to other types. A cast that would change a value is an error.

Types are checked before the cast, because some casts change values: a categorical becomes its codes, a fraction loses
its decimals, and "007" and "7" become the same number.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from edgerec.data.log_faults import Fault, Found, refuse
from edgerec.features.vocabulary import STRING_IDS

EXACT = {"Float16": 2**11 - 1, "Float32": 2**24 - 1, "Float64": 2**53 - 1}
"""For each float type, the largest float that is certainly equal to the integer that it was converted from. Above it,
several integers become the same float."""

WHOLE = r"^(0|-?[1-9][0-9]*)$"
NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
"""Regular expressions for text that is read as an integer (`WHOLE`) or as a number (`NUMBER`)."""

SHOWN = 80
"""Error texts show at most this many characters of a type or value."""


def exact_cast(
    table: pl.DataFrame,
    types: Mapping[str, pl.DataType],
    *,
    where: str,
    first_row: int = 1,
    floats: bool = False,
    text: bool = False,
) -> pl.DataFrame:
    """Return `table` with the columns of `types` cast to these types. A column that has its type is not copied.

    Args:
        table: the rows, or some of them.
        types: the wanted type of each column. Columns that are not in `table` are ignored.
        where: the text before the column's name in error texts: the file or the table.
        first_row: the number of the first row in its file, counted from 1.
        floats: whether floats may be cast to integers. A value that is not a whole number is an error.
        text: whether text may be cast to numbers (for CSV). Text that is not written as a number is an error.

    Raises:
        LogsError: a column has a type, or a value, that the wanted type cannot represent.
    """
    return refuse(find_casts(table, types, where=where, first_row=first_row, floats=floats, text=text))


def find_casts(
    table: pl.DataFrame,
    types: Mapping[str, pl.DataType],
    *,
    where: str,
    first_row: int = 1,
    floats: bool = False,
    text: bool = False,
) -> Found[pl.DataFrame]:
    """Find what `exact_cast` refuses. A column of a wrong type is removed, and a wrong value becomes null."""
    changed: list[pl.Series] = []
    removed: list[str] = []
    for column, wanted in types.items():
        if column not in table.columns or table.schema[column] == wanted:
            continue
        fits = yield from find_type(
            table.schema[column], wanted, where=f"{where}{column}", column=column, floats=floats, text=text
        )
        if fits:
            cast = yield from _find_cast(table[column], wanted, where=f"{where}{column}", first_row=first_row)
            changed.append(cast)
        else:
            removed.append(column)
    table = table.with_columns(changed) if changed else table
    return table.drop(removed) if removed else table


def find_type(
    received: pl.DataType,
    wanted: pl.DataType,
    *,
    where: str,
    column: str,
    floats: bool = False,
    text: bool = False,
) -> Found[bool]:
    """Find out whether values of the type `received` cannot be cast to `wanted`. Return whether they can."""
    if received == pl.Null:
        return True
    inner, leaf = received, wanted
    if isinstance(wanted, pl.List):
        inner, leaf = item_type(received), item_type(wanted)
    if isinstance(wanted, pl.List) != is_list(received) or not _readable(inner, leaf, floats=floats, text=text):
        shown = str(received)[:SHOWN]
        advice = _advice(inner, leaf)
        yield Fault(
            f"{where} should be {wanted}; received {shown}{advice}",
            expected=str(wanted),
            found=shown,
            advice=advice.removeprefix("; ") or f"write the type {wanted}",
            column=column,
        )
        return False
    return True


def is_list(dtype: pl.DataType) -> bool:
    """Return whether `dtype` is a type of lists, with or without a fixed length."""
    return isinstance(dtype, (pl.List, pl.Array))


def item_type(dtype: pl.DataType) -> pl.DataType:
    """Return the type of a list's entries, or `dtype` if it is not a list."""
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = dtype.inner
        return inner() if isinstance(inner, type) else inner
    return dtype


def is_text(dtype: pl.DataType) -> bool:
    """Return whether `dtype` holds strings. They may be stored as strings or as categories."""
    return isinstance(dtype, (pl.String, pl.Categorical, pl.Enum))


def arrays_as_lists(columns: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """Find the columns of fixed-size lists (`Array`), and return for each the `List` type with the same entries."""
    return {name: pl.List(dtype.inner) for name, dtype in columns.items() if isinstance(dtype, pl.Array)}


def _readable(received: pl.DataType, wanted: pl.DataType, *, floats: bool, text: bool) -> bool:
    if received in (wanted, pl.Null):
        return True
    if wanted.is_integer():
        flag = wanted == pl.Int8 and received == pl.Boolean
        whole = floats and received.is_float()
        return received.is_integer() or flag or whole or (text and received == pl.String)
    if wanted.is_float():
        return received.is_integer() or received.is_float() or (text and received == pl.String)
    if isinstance(wanted, pl.Datetime):
        return isinstance(received, pl.Datetime) and received.time_zone == wanted.time_zone
    return wanted == pl.String and is_text(received)


def _advice(received: pl.DataType, wanted: pl.DataType) -> str:
    if not wanted.is_integer():
        return ""
    if received.is_float() or received.is_decimal():
        # pandas, for example, converts a column of integers with missing values to floats.
        return "; cast it to integers, and write a missing value as null"
    if received.is_temporal():
        return "; write milliseconds since 1970 as integers"
    if is_text(received):
        return f"; write integers: {STRING_IDS}"
    return ""


def _find_cast(values: pl.Series, wanted: pl.DataType, *, where: str, first_row: int) -> Found[pl.Series]:
    """Return `values` cast to `wanted`, with null for a value that cannot be cast. The type must be checked already."""
    if isinstance(values.dtype, pl.Array):
        values = values.cast(pl.List(values.dtype.inner))
    inner, leaf = item_type(values.dtype), item_type(wanted)
    try:
        if _always_exact(inner, leaf) or not _inexact(_flat(values), leaf).any():
            changed: pl.Series = values.cast(wanted)
            return changed
    except pl.exceptions.PolarsError:
        pass  # A value is out of range.
    rows = pl.DataFrame({"row": pl.int_range(len(values), eager=True), "value": values})
    rows = rows.explode("value") if is_list(values.dtype) else rows
    wrong = rows.filter(_inexact(rows["value"], leaf))
    # The cast failed, or it would change a value.
    row, value = wrong.row(0) if len(wrong) else (0, None)
    yield Fault(
        f"{where} should be {wanted}; row {first_row + row} (the first is 1) holds {repr(value)[:SHOWN]}, "
        f"a {inner} that {leaf} cannot represent",
        expected=f"{wanted} ({inner} values that {leaf} can represent)",
        found=repr(value)[:SHOWN],
        advice="correct the value",
        column=values.name,
        row=row,
        rows=max(wrong["row"].n_unique(), 1),
    )
    inexact: pl.Series = values.cast(wanted, strict=False)
    return inexact


def _flat(values: pl.Series) -> pl.Series:
    return values.explode() if is_list(values.dtype) else values


def _always_exact(received: pl.DataType, wanted: pl.DataType) -> bool:
    """Return whether a strict cast keeps each value or fails."""
    if wanted.is_integer():
        return not (received.is_float() or received == pl.String)
    if wanted.is_float():
        return received in (wanted, pl.Null) or (received == pl.Float32 and wanted == pl.Float64)
    return not isinstance(wanted, pl.Datetime)


def _inexact(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Return a mask (n,). It is True where the type `wanted` cannot represent the value, and False for nulls."""
    cast = values.cast(wanted, strict=False)
    wrong = cast.is_null()
    if values.dtype == pl.String:
        wrong |= ~values.str.contains(WHOLE if wanted.is_integer() else NUMBER)
        if wanted.is_float():
            wrong |= ~cast.is_finite()
    elif values.dtype != pl.Boolean and values.dtype != pl.Null and not is_text(values.dtype):
        wrong |= cast.cast(values.dtype, strict=False).ne_missing(values)
        if values.dtype.is_float() and wanted.is_integer():
            wrong |= values.abs() > EXACT[str(values.dtype)]
    faulty: pl.Series = wrong.fill_null(True) & values.is_not_null()
    return faulty
