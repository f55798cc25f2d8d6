"""Segments: consecutive rows of a part file. A partition consists of segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edgerec.data.parts import Parts, cast_part, joined, read_part, reading


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of a Parquet file.

    Attributes:
        file: the file that holds the rows.
        rows: number of rows.
        offset: number of rows before the first one; None if the segment is the complete file.
    """

    file: Path
    rows: int
    offset: int | None = None


def read_segments(parts: Parts, segments: Iterable[Segment], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of `segments`, one segment after the other, with the column types of the complete table.

    Args:
        parts: the table.
        segments: segments of the table's files, or of files that were made from these files.
        columns: the columns to read; default: the columns that the schema and the specification name.

    Raises:
        LogsError: a file cannot be read.
    """
    names = list(parts.columns if columns is None else columns)
    schema = pl.Schema({name: parts.schema[name] for name in names})
    return joined(schema, [_read(parts, segment, names) for segment in segments]).select(names)


def _read(parts: Parts, segment: Segment, columns: Sequence[str]) -> pl.DataFrame:
    if segment.offset is None:
        return cast_part(parts, read_part(segment.file, columns), segment.file)
    with reading(segment.file):
        rows = pl.scan_parquet(segment.file, glob=False).slice(segment.offset, segment.rows)
        table = rows.select(columns).collect()
    return cast_part(parts, table, segment.file, first_row=segment.offset + 1)
