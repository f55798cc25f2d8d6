"""Read columns from a file of a public data set, with the types that the source needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from edgerec.core.errors import LogsError, first_line
from edgerec.data.casting import exact_cast
from edgerec.data.log_checks import lists_of_arrays
from edgerec.data.parts import POLARS_FAULTS


def read_columns(path: Path, columns: Mapping[str, pl.DataType], *, name: str, whole: str) -> pl.DataFrame:
    """Read `columns` of the Parquet or CSV file `path`, with their types.

    Args:
        path: the file. Its ending gives its format.
        columns: the type of each column.
        name: name of the data set, for error texts.
        whole: what the file is a part of, for error texts.

    Raises:
        LogsError: the file or a column is missing, cannot be read, or holds a value that its type cannot represent.
    """
    if not path.is_file():
        raise LogsError(f"{name}: {path} does not exist: give a complete {whole}")
    form = "CSV" if path.suffix == ".csv" else "Parquet"
    try:
        table = _scan(path)
        schema = table.collect_schema()
        missing = [column for column in columns if column not in schema]
        if missing:
            raise LogsError(f"{name}: {path} has no column {missing[0]!r}; it has: {', '.join(schema)}")
        found = table.select(list(columns)).collect()
    except POLARS_FAULTS as error:
        reason = first_line(error)
        raise LogsError(f"{name}: {path} cannot be read as {form} ({reason}): download the {whole} again") from None
    return exact_cast(lists_of_arrays(found), columns, where=f"{name}: {path}: ", floats=True, text=form == "CSV")


def _scan(path: Path) -> pl.LazyFrame:
    if path.suffix == ".csv":
        return pl.scan_csv(path, infer_schema=False, glob=False)
    return pl.scan_parquet(path, glob=False)
