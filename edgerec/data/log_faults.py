"""Faults of logs: what a check found, and the error that it becomes.

Each check is a generator. It yields a `Fault` for each rule that the data breaks, and returns the checked data.
`refuse` raises the first fault, so `edgerec samples` and `write_logs` stop there. `edgerec check` reads all of them.
So both always have the same rules.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import polars as pl

from edgerec.core.errors import LogsError

Result = TypeVar("Result")
Found: TypeAlias = Generator["Fault", None, Result]
"""A check: it yields faults and returns `Result`. After a fault, it goes on with the data that can still be checked."""


@dataclass(frozen=True)
class Fault:
    """A rule that the data breaks.

    Attributes:
        text: the text of the error, one line.
        expected: what was expected. Faults of one column with the same text here have one cause.
        found: what was found, in the first case.
        advice: what to do.
        column: name of the column, or an empty text.
        table: name of the table; an empty text if it is the table that is checked.
        row: index of the first row with the fault in the table that is checked; None if the fault is not in rows.
        rows: number of rows with the fault; None if the fault is not in rows.
        file: the file or folder with the fault; None if it is the one that is checked.
    """

    text: str
    expected: str
    found: str
    advice: str
    column: str = ""
    table: str = ""
    row: int | None = None
    rows: int | None = None
    file: Path | None = None


def refuse(found: Found[Result]) -> Result:
    """Return what the check `found` returns.

    Raises:
        LogsError: the check finds a fault. The error has the text of the first one.
    """
    try:
        fault = next(found)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise LogsError(fault.text)


def noting(found: Found[Result], columns: set[str]) -> Found[Result]:
    """Do what the check `found` does, and add the columns of its faults to `columns`."""
    while True:
        try:
            fault = next(found)
        except StopIteration as end:
            result: Result = end.value
            return result
        columns.add(fault.column)
        yield fault


@dataclass(frozen=True)
class Place:
    """Where the rows with a fault are: the index of the first `row`, and the number of `rows`."""

    row: int
    rows: int

    @classmethod
    def of(cls, wrong: pl.Series, lengths: pl.Series | None = None) -> Place:
        """Return the place of the rows where `wrong` (n,) is true. At least one is.

        Args:
            wrong: a mask of rows; with `lengths`, a mask of the entries of exploded lists.
            lengths: the length of each list, or null.
        """
        index = wrong.fill_null(False).arg_true().to_numpy()
        if lengths is not None:
            # An exploded list without entries has one entry, a null.
            ends = np.cumsum(np.maximum(lengths.fill_null(0).to_numpy().astype(np.int64), 1))
            index = np.unique(np.searchsorted(ends, index, side="right"))
        return cls(int(index[0]), len(index))
