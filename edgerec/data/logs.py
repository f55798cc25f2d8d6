"""Logs: the three tables that a feed writes and everything else is made from (docs/formats.md)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from edgerec.core.atomic import output_folder, write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import LogsError, OutputError, first_line
from edgerec.core.text import Name, check_utf8
from edgerec.data.casting import arrays_as_lists, check_type, exact_cast
from edgerec.data.schema import (
    CLICK_COUNT,
    CLICKED,
    EVENTS,
    ITEMS,
    PAGE_ID,
    REQUEST_ID,
    REQUESTS,
    TIME,
    USER_ID,
    check_items,
    check_tables,
    column_types,
    event_features,
    lists_of_arrays,
    of_origin,
    table_name,
)
from edgerec.features.spec import Feature, FeatureSpec, load_spec

FORMAT = 1
HEAD = "logs.json"
SPEC = "features.json"

POLARS_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError)
"""What polars raises for a file that it cannot read or write: some damaged pages make it panic, which is no Exception,
and a file name that is not UTF-8 is a UnicodeError."""


class LogsHead(BaseModel):
    """`logs.json`: what stands beside the tables."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    kind: Literal["logs"] = "logs"
    name: Name
    """Of the data set."""
    test_from: int | None = None
    """Milliseconds since 1970 at which the test period begins, where the data set has a customary one."""
    repeated_items: bool = False
    """Whether a list may hold one `item_id` several times, because it stands for several items that look alike. Each
    place then keeps its own label and served values."""


@dataclass(frozen=True)
class Logs:
    """The tables of a data set, checked.

    Attributes:
        head: name and customary test period.
        spec: what the columns mean.
        items: one row an item.
        events: one row a behaviour, in order of user, time and, at one instant, of writing.
        requests: one row a re-rank opportunity, in order of time, user and request_id.
    """

    head: LogsHead
    spec: FeatureSpec
    items: pl.DataFrame
    events: pl.DataFrame
    requests: pl.DataFrame

    def counts(self) -> dict[str, int]:
        """`requests`, `exposures` (listed items that were shown), `clicks` (each of several on one item), `users`.

        An exposure that several requests of a page label counts once.
        """
        pages = page_openings(self.requests)
        clicked = pages[CLICKED].explode()
        clicks = pages[CLICK_COUNT].explode() if CLICK_COUNT in pages.columns else clicked
        return {
            "requests": len(self.requests),
            "exposures": len(clicked) - clicked.null_count(),
            "clicks": int(clicks.sum() or 0),
            "users": self.requests[USER_ID].n_unique(),
        }


def page_openings(requests: pl.DataFrame) -> pl.DataFrame:
    """The first request of each page, in order of time: together they label each exposure once.

    Later requests of a page label again what was exposed after them. Where nothing says of which page a request is,
    each is of its own.
    """
    if PAGE_ID not in requests.columns:
        return requests
    ordered = requests.sort(TIME, USER_ID, REQUEST_ID)
    return ordered.unique([USER_ID, PAGE_ID], keep="first", maintain_order=True)


@dataclass(frozen=True)
class Parts:
    """A table on disk, in any number of files.

    Attributes:
        name: of the table.
        files: in order of their names, which is the order of writing.
        schema: columns and types of the whole; a file may have smaller integers, or its columns in another order.
        types: columns whose values every file has to hold exactly in these types.
    """

    name: str
    files: tuple[Path, ...]
    schema: pl.Schema
    types: Mapping[str, pl.DataType]


@dataclass(frozen=True)
class LogsFolder:
    """A folder of logs, opened: what is small is read and checked, the rest can be read by and by.

    Attributes:
        path: the folder.
        head: name and customary test period.
        spec: what the columns mean.
        items: the catalogue, checked, in order of `item_id`.
        events: where the behaviours are.
        requests: where the requests are.
    """

    path: Path
    head: LogsHead
    spec: FeatureSpec
    items: pl.DataFrame
    events: Parts
    requests: Parts


def write_logs(logs: Logs, path: Path, *, force: bool = False) -> None:
    """Check `logs` and write them as the folder `path`, whole or not at all.

    Raises:
        LogsError: a table breaks its schema.
        OutputError: `path` exists and `force` is false.
    """
    with output_folder(path, force=force, kind="logs") as folder:
        checked = _checked(logs)
        (folder / "events").mkdir()
        (folder / "requests").mkdir()
        write_table(checked.items, folder / "items.parquet")
        write_table(checked.events, folder / "events" / "part-00000.parquet")
        write_table(checked.requests, folder / "requests" / "part-00000.parquet")
        write_json(folder / SPEC, logs.spec.model_dump(mode="json", exclude_none=True))
        write_json(folder / HEAD, logs.head.model_dump(mode="json"))


def write_table(
    table: pl.DataFrame,
    path: Path,
    *,
    compression: Literal["zstd", "lz4"] = "zstd",
    row_group_size: int | None = None,
    statistics: bool = True,
) -> None:
    """Write `table` as the Parquet file `path`.

    Args:
        table: the rows.
        path: the file.
        compression: lz4 is for what is read once and thrown away.
        row_group_size: rows that are written, and can be read, together.
        statistics: let each column say its least and largest value.

    Raises:
        OutputError: the disk is full or otherwise refuses, or the file cannot be opened.
    """
    try:
        table.write_parquet(path, compression=compression, row_group_size=row_group_size, statistics=statistics)
    except POLARS_FAULTS as error:
        # polars passes on the system's error where it opens the file, and wraps it later on.
        raise OutputError(
            f"cannot write {path} ({first_line(error)}): free some space or choose another --out"
        ) from None


def open_logs(path: Path, *, spec: FeatureSpec | None = None) -> LogsFolder:
    """Open the folder `path`: events and requests are left for `edgerec.data.partition` to read.

    Args:
        path: the folder.
        spec: what the columns mean; default: the folder's own `features.json`.

    Raises:
        InputError: the path is not UTF-8.
        FormatError: no such folder, or another format number.
        LogsError: a table is missing or cannot be read, the catalogue breaks its schema, or parts of a table differ.
        SpecificationError: the folder's `features.json` is not valid.
    """
    check_utf8(path, what="logs")
    head = read_document(path / HEAD, LogsHead, what="logs", format_number=FORMAT)
    if spec is None and not (path / SPEC).is_file():
        raise LogsError(f"logs: {path} has no {SPEC}: write one (docs/features.md), or name one with --features")
    spec = spec if spec is not None else load_spec(path / SPEC)
    catalogue = _parts(ITEMS, [path / "items.parquet"], of_origin(spec.item, "catalogue"))
    served = of_origin(spec.item, "served")
    return LogsFolder(
        path=path,
        head=head,
        spec=spec,
        items=check_items(read_parts(catalogue), spec),
        events=_parts(EVENTS, sorted((path / "events").glob("*.parquet")), event_features(spec)),
        requests=_parts(REQUESTS, sorted((path / "requests").glob("*.parquet")), served),
    )


def read_logs(path: Path, *, spec: FeatureSpec | None = None) -> Logs:
    """Read and check the folder `path`, all of it at once.

    Args:
        path: the folder.
        spec: what the columns mean; default: the folder's own `features.json`.

    Raises:
        FormatError, LogsError, SpecificationError: as `open_logs`, or a table breaks its schema.
    """
    folder = open_logs(path, spec=spec)
    events, requests = read_parts(folder.events), read_parts(folder.requests)
    return _checked(Logs(head=folder.head, spec=folder.spec, items=folder.items, events=events, requests=requests))


def read_parts(parts: Parts) -> pl.DataFrame:
    """All rows of a table, in the order of its files.

    Raises:
        LogsError: a file cannot be read.
    """
    return joined(parts.schema, [cast_part(parts, read_part(file), file) for file in parts.files])


def read_part(file: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of one file as they are.

    Raises:
        LogsError: it cannot be read.
    """
    with reading(file):
        return pl.read_parquet(file, columns=None if columns is None else list(columns), glob=False)


def cast_part(parts: Parts, rows: pl.DataFrame, file: Path, *, first_row: int = 1) -> pl.DataFrame:
    """`rows` of `file` in the types that their table wants; `first_row` counts from 1.

    Raises:
        LogsError: a type or value that cannot be one of the table's: file, column, row and value.
    """
    where = f"{table_name(parts.name, file)}."
    return exact_cast(lists_of_arrays(rows), parts.types, where=where, first_row=first_row)


def joined(schema: pl.Schema, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """`frames` one below the other, with the columns and types of `schema`, of which they may have narrower ones."""
    empty = schema.to_frame()
    if all(frame.schema == schema for frame in frames):
        return pl.concat(frames, how="vertical") if frames else empty
    return pl.concat([empty, *(frame.select(empty.columns) for frame in frames)], how="vertical_relaxed")


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Make one error of what polars raises where `file` is damaged."""
    try:
        yield
    except POLARS_FAULTS as error:
        reason = first_line(error)
        raise LogsError(f"logs: {file} cannot be read as Parquet ({reason}): it is damaged, make it again") from None


def _checked(logs: Logs) -> Logs:
    tables = {ITEMS: logs.items, EVENTS: logs.events, REQUESTS: logs.requests}
    tables = check_tables(tables, logs.spec, repeated_items=logs.head.repeated_items)
    return replace(logs, items=tables[ITEMS], events=tables[EVENTS], requests=tables[REQUESTS])


def _parts(name: str, files: Sequence[Path], features: Iterable[Feature]) -> Parts:
    """The table in `files`, whose columns and types have to go together; `features` read it."""
    if not files or not all(file.is_file() for file in files):
        where = files[0] if files else f"{name}/*.parquet"
        raise LogsError(f"logs: {where} is not there: the table {name!r} is needed (docs/formats.md)")
    schemas = []
    for file in files:
        with reading(file):
            schemas.append(pl.scan_parquet(file, glob=False).collect_schema())
    for file, schema in zip(files, schemas, strict=True):
        odd = sorted(set(schema) ^ set(schemas[0]))
        if odd:
            raise LogsError(f"logs: {file} and {files[0]} are parts of one table; only one of them has {odd[0]!r}")
    types = column_types(name, schemas[0], features)
    for place, (file, schema) in enumerate(zip(files, schemas, strict=True)):
        # Before anything is cast, and file by file: what one part holds as integers may be categories in another.
        for column, wanted in types.items():
            check_type(schema[column], wanted, where=f"{table_name(name, file)}.{column}")
        schemas[place] = pl.Schema({**schema, **arrays_as_lists(schema), **types})
    columns = list(schemas[0])
    try:
        whole = pl.concat([schema.to_frame().select(columns) for schema in schemas], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise LogsError(f"logs: the parts of {name} have columns of different types ({first_line(error)})") from None
    return Parts(name, tuple(files), whole.schema, types)
