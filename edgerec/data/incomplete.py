"""Rows of a file that lack a value without which they cannot be used, such as the ID of the item."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from edgerec.core.console import log
from edgerec.core.errors import InputError
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import shown


def drop_incomplete(rows: pl.DataFrame, columns: Sequence[str], path: AnyPath) -> pl.DataFrame:
    """Return the rows that have a value in each of `columns`. One line on stderr for each column counts the others.

    Args:
        rows: all rows of the file, in its order.
        columns: the columns without which a row cannot be used.
        path: the file, for the line on stderr.

    Raises:
        InputError: no row has all values.
    """
    path = to_path(path, "drop_incomplete: `path`")
    for column in columns:
        lacking = rows[column].is_null().arg_true()
        if len(lacking):
            first = f"row {int(lacking[0]) + 1:,}"
            why = f"no value in column {shown(column)!r}"
            log(
                f"{path}: {first} is left out, because it has {why}"
                if len(lacking) == 1
                else f"{path}: {len(lacking):,} rows are left out, because they have {why} (the first is {first})"
            )
    complete = rows.drop_nulls(list(columns))
    if len(rows) and not len(complete):
        raise InputError(f"{path}: no row has values in all of {', '.join(map(repr, map(shown, columns)))}")
    return complete
