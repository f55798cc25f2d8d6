"""The Parquet files of the logs: `events/part-N.parquet` and `requests/part-N.parquet`.

N is the sequence number of the first batch in the file. Part 0 has no rows. It shows the types of the columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl

from edgerec.cloud.journal import Journal
from edgerec.cloud.log_rows import ADDED
from edgerec.core.atomic import sync
from edgerec.core.errors import OutputError, first_line
from edgerec.core.leftovers import temporary_file
from edgerec.data.logs import TABLES, write_table
from edgerec.data.parts import POLARS_FAULTS, count_rows, read_part, read_schema
from edgerec.data.schema import EVENTS, KIND, ORDINAL, REQUEST_ID, REQUESTS, STORE_ID
from edgerec.paging.log_rows import LogBatch

_NAME = re.compile(r"part-(\d{12})\.parquet")
_KEYS = {EVENTS: (STORE_ID, KIND, ORDINAL), REQUESTS: (STORE_ID, REQUEST_ID)}
"""The columns whose values identify a row of a table."""


def part_path(folder: Path, name: str, number: int) -> Path:
    """Return the path of a part of the table `name`. `folder` is the folder of the logs."""
    return folder / TABLES[name] / f"part-{number:012d}.parquet"


def check_parts(folder: Path, journal: Journal, schemas: Mapping[str, pl.Schema]) -> None:
    """Check that this journal wrote the parts in `folder`, and that they have the columns of `schemas`.

    The parts of an earlier version lack the columns that were added since.

    Raises:
        OutputError: the journal is new and parts exist, or a part has other columns or types.
        LogsError: a part cannot be read.
    """
    last = journal.last()
    for name, schema in schemas.items():
        for file, number in _parts(folder / TABLES[name]):
            if not count_rows(file):
                continue
            if number > last:
                raise OutputError(
                    f"logs: {file} exists, but the journal of {folder} did not write it: the journal was replaced or "
                    "deleted; choose another --logs"
                )
            found = read_schema(file)
            odd = sorted(
                column
                for column in {*found, *schema}
                if found.get(column) != schema.get(column) and (column in found or column not in ADDED)
            )
            if odd:
                received, expected = (each.get(odd[0]) or "no such column" for each in (found, schema))
                raise OutputError(
                    f"logs: the specifications of the catalogue and the bundles do not fit {file}: column {odd[0]!r}: "
                    f"the file has {received}, the specifications need {expected}: choose another --logs"
                )


def check_overwritten(path: Path, name: str, batches: Iterable[LogBatch]) -> None:
    """Check that the part `path` may be written. If it exists, all of its rows must be in `batches`.

    That is so if the server was killed after it wrote the part and before it cleared the journal.

    Raises:
        OutputError: the part has other rows, so it would be lost.
        LogsError: the part cannot be read.
    """
    if not path.exists():
        return
    columns = _KEYS[name]
    known = {
        tuple(batch.store_id if column == STORE_ID else row.get(column) for column in columns)
        for batch in batches
        for row in (batch.events if name == EVENTS else batch.requests)
    }
    if not known.issuperset(read_part(path, columns).select(columns).iter_rows()):
        raise OutputError(
            f"logs: {path} has rows that are not in the journal, and is not replaced: choose another --logs"
        )


def write_durably(table: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file atomically, and wait until it is on disk.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    try:
        with temporary_file(path) as partial:
            write_table(table, partial)
            sync(partial)
            partial.chmod(0o644)
            partial.replace(path)
        sync(path.parent)
    except (OSError, *POLARS_FAULTS) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"logs: cannot write {path} ({reason}): free some space") from None


def _parts(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield each Parquet file of a table, and its number. A file with another name has the number 1."""
    for file in sorted(folder.glob("*.parquet")):
        match = _NAME.fullmatch(file.name)
        yield file, int(match[1]) if match else 1
