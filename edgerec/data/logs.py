"""Logs: the three tables that a feed writes and everything else is made from (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from edgerec.core.atomic import output_folder, write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import LogsError, OutputError, SpecificationError, first_line
from edgerec.core.text import check_utf8
from edgerec.core.text_fields import Name
from edgerec.data.log_checks import check_items, check_tables
from edgerec.data.part_files import part_files
from edgerec.data.part_stamps import PartStamp, check_stamps, stamp_parts
from edgerec.data.parts import POLARS_FAULTS, Parts, open_parts, read_parts
from edgerec.data.repeated_parts import check_repeats
from edgerec.data.schema import CLICK_COUNT, CLICKED, EVENTS, ITEMS, PAGE_ID, REQUEST_ID, REQUESTS, TIME, USER_ID
from edgerec.features.spec import FeatureSpec, load_spec, of_origin

FORMAT = 1
HEAD = "logs.json"
SPEC = "features.json"
TABLES = {ITEMS: "items.parquet", EVENTS: "events", REQUESTS: "requests"}
"""Where each table lies in the folder."""


class LogsHead(BaseModel):
    """What `logs.json` says about the data set."""

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


class LogsDocument(LogsHead):
    """`logs.json`: what stands beside the tables."""

    parts: dict[str, PartStamp] | None = None
    """The files of the tables, by path within the folder; None where whoever wrote them does not say."""


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
class LogsFolder:
    """A folder of logs, opened: what is small is read and checked, the rest can be read by and by.

    Attributes:
        path: the folder.
        head: name and customary test period.
        spec: what the columns mean.
        items: the catalogue, checked, in order of `item_id`; only the columns that are read.
        catalogue: where the items are.
        events: where the behaviours are.
        requests: where the requests are.
    """

    path: Path
    head: LogsHead
    spec: FeatureSpec
    items: pl.DataFrame
    catalogue: Parts
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
        for name in (EVENTS, REQUESTS):
            (folder / TABLES[name]).mkdir()
        write_table(checked.items, folder / TABLES[ITEMS])
        write_table(checked.events, folder / TABLES[EVENTS] / "part-00000.parquet")
        write_table(checked.requests, folder / TABLES[REQUESTS] / "part-00000.parquet")
        write_heads(folder, logs.head, logs.spec)


def write_heads(folder: Path, head: LogsHead, spec: FeatureSpec) -> None:
    """Complete the folder of logs `folder`, whose tables are written: with its specification and its `logs.json`."""
    write_json(folder / SPEC, spec.model_dump(mode="json", exclude_none=True))
    stamps = stamp_parts(folder, _every(_files(folder)))
    document = LogsDocument(**head.model_dump(exclude={"parts"}), parts=stamps)
    write_json(folder / HEAD, document.model_dump(mode="json"))


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
        LogsError: a table is missing, cannot be read or was changed, the catalogue breaks its schema, parts of a table
            do not go together, or a part of the events is there twice.
        SpecificationError: the folder's `features.json` is not valid, or a feature reads the label.
    """
    check_utf8(path, what="logs")
    document = read_document(path / HEAD, LogsDocument, what="logs", format_number=FORMAT)
    if spec is None and not (path / SPEC).is_file():
        raise LogsError(f"logs: {path} has no {SPEC}: write one (docs/features.md), or name one with --features")
    spec = spec if spec is not None else load_spec(path / SPEC)
    _check_sources(spec)
    files = _files(path)
    if document.parts is not None:
        check_stamps(path, _every(files), document.parts)
    tables = {name: open_parts(name, path / where, files[name], spec) for name, where in TABLES.items()}
    if document.parts is None:
        check_repeats(tables[EVENTS])
    return LogsFolder(
        path=path,
        head=LogsHead(**document.model_dump(exclude={"parts"})),
        spec=spec,
        items=check_items(read_parts(tables[ITEMS], tables[ITEMS].columns), spec),
        catalogue=tables[ITEMS],
        events=tables[EVENTS],
        requests=tables[REQUESTS],
    )


def _check_sources(spec: FeatureSpec) -> None:
    """No feature may read the label."""
    for feature in of_origin(spec.item, "served"):
        if feature.source in (CLICKED, CLICK_COUNT):
            raise SpecificationError(
                f"feature {feature.name} reads {feature.source!r}, which is what the model is to predict: leave it out"
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
    items, events, requests = (read_parts(table) for table in (folder.catalogue, folder.events, folder.requests))
    return _checked(Logs(head=folder.head, spec=folder.spec, items=items, events=events, requests=requests))


def _checked(logs: Logs) -> Logs:
    tables = {ITEMS: logs.items, EVENTS: logs.events, REQUESTS: logs.requests}
    tables = check_tables(tables, logs.spec, repeated_items=logs.head.repeated_items)
    return replace(logs, items=tables[ITEMS], events=tables[EVENTS], requests=tables[REQUESTS])


def _files(path: Path) -> dict[str, list[Path]]:
    return {name: part_files(path / where) for name, where in TABLES.items()}


def _every(files: dict[str, list[Path]]) -> Iterable[Path]:
    return (file for table in files.values() for file in table)
