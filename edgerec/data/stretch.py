"""Stretches: consecutive rows of a part file, the pieces that partitions are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edgerec.data.parts import Parts, cast_part, joined, read_part, reading


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows of a Parquet file.

    Attributes:
        file: where they are.
        rows: how many.
        offset: rows before the first; None where these are all of the file.
    """

    file: Path
    rows: int
    offset: int | None = None


def read_stretches(parts: Parts, stretches: Iterable[Stretch], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of `stretches`, one below the other, in the types of the whole table.

    Args:
        parts: the table.
        stretches: of its files, or of files made of them.
        columns: those that are read; default: those that the schema and the specification read.

    Raises:
        LogsError: a file cannot be read.
    """
    names = list(parts.columns if columns is None else columns)
    schema = pl.Schema({name: parts.schema[name] for name in names})
    return joined(schema, [_read(parts, stretch, names) for stretch in stretches]).select(names)


def _read(parts: Parts, stretch: Stretch, columns: Sequence[str]) -> pl.DataFrame:
    if stretch.offset is None:
        return cast_part(parts, read_part(stretch.file, columns), stretch.file)
    with reading(stretch.file):
        rows = pl.scan_parquet(stretch.file, glob=False).slice(stretch.offset, stretch.rows)
        found = rows.select(columns).collect()
    return cast_part(parts, found, stretch.file, first_row=stretch.offset + 1)
