"""Logs: the three tables that a feed writes. Everything else is made from them (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl
from pydantic import ConfigDict

from edgerec.core.arguments import check_object
from edgerec.core.atomic import output_folder, write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import EdgeRecError, LogsError, OutputError, SpecificationError, first_line
from edgerec.core.faults import CheckedModel
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import check_utf8
from edgerec.core.text_fields import Name
from edgerec.core.together import finish_replacing
from edgerec.data.as_of.columns import AbsentColumns
from edgerec.data.as_of.fill import fill_columns
from edgerec.data.log_checks import check_items, check_tables
from edgerec.data.ordinals import check_store_columns
from edgerec.data.page_openings import page_openings
from edgerec.data.part_files import part_files
from edgerec.data.part_stamps import PartStamp, check_stamps, stamp_parts
from edgerec.data.parts import POLARS_FAULTS, Parts, open_parts, read_parts
from edgerec.data.repeated_parts import check_repeats
from edgerec.data.schema import CLICK_COUNT, CLICKED, EVENTS, ITEMS, REQUESTS, USER_ID, request_features
from edgerec.features.as_of import declared
from edgerec.features.spec import FeatureSpec, load_spec

FORMAT = 1
HEAD = "logs.json"
SPEC = "features.json"
JOURNAL = "journal.sqlite"
"""The file in the folder of logs with the rows that `edgerec serve` has not written as Parquet yet."""
ADVICE = 'correct it (docs/formats.md, "Logs")'
TABLES = {ITEMS: "items.parquet", EVENTS: "events", REQUESTS: "requests"}
"""The file or folder of each table within the folder of logs."""


class LogsHead(CheckedModel):
    """The part of `logs.json` that describes the data set."""

    error_class: ClassVar[type[EdgeRecError]] = LogsError
    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    kind: Literal["logs"] = "logs"
    name: Name
    """Name of the data set."""
    test_from: int | None = None
    """Start of the test period in milliseconds since 1970, or None if the data set does not define one."""
    repeated_items: bool = False
    """Whether a list may contain an `item_id` several times, because several items look alike and share one ID. Each
    entry of the list has its own label and served values."""


class LogsDocument(LogsHead):
    """The content of `logs.json`: the description of the data set, and a list of the part files."""

    parts: dict[str, PartStamp] | None = None
    """Number of rows, size and SHA-256 of each part file, by path within the folder; None if they are not listed."""


@dataclass(frozen=True)
class Logs:
    """The checked tables of a data set.

    Attributes:
        head: name and test period of the data set.
        spec: the feature specification.
        items: one row for each item.
        events: one row for each behaviour, sorted by user, store, time and ordinal (`edgerec.data.log_order`).
        requests: one row for each request, sorted by time, user and request_id.
    """

    head: LogsHead
    spec: FeatureSpec
    items: pl.DataFrame
    events: pl.DataFrame
    requests: pl.DataFrame

    def counts(self) -> dict[str, int]:
        """Return the numbers of `requests`, `exposures` (listed items that were shown), `clicks` and `users`.

        An exposure counts once, even if it is in several requests of a page. Several clicks on one item all count.
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


@dataclass(frozen=True)
class LogsFolder:
    """An opened folder of logs. The catalogue is in memory; events and requests are read later, part by part.

    Attributes:
        path: the folder.
        head: name and test period of the data set.
        spec: the feature specification.
        items: the checked catalogue, sorted by `item_id`, with the columns that the schema or the specification names.
        catalogue: the table of items on disk.
        events: the table of behaviours on disk.
        requests: the table of requests on disk.
    """

    path: Path
    head: LogsHead
    spec: FeatureSpec
    items: pl.DataFrame
    catalogue: Parts
    events: Parts
    requests: Parts


def write_logs(logs: Logs, path: AnyPath, *, force: bool = False) -> None:
    """Check `logs` and write them to the folder `path`. On an error, nothing is written.

    Columns that the tables lack and the specification computes (`as_of`) are computed.

    Raises:
        InputError: `logs` is not of the class `Logs`, or `path` is not a path.
        LogsError: a table breaks its schema.
        OutputError: `path` exists and `force` is false.
    """
    check_object(logs, Logs, "write_logs: `logs`", source="Logs(...) or load_logs")
    path = to_path(path, "write_logs: `path`")
    check_object(logs.head, LogsHead, "write_logs: `logs.head`", source="LogsHead(...)")
    check_object(logs.spec, FeatureSpec, "write_logs: `logs.spec`", source="FeatureSpec(...) or load_spec")
    for name in (ITEMS, EVENTS, REQUESTS):
        check_object(getattr(logs, name), pl.DataFrame, f"write_logs: `logs.{name}`", source="polars.DataFrame(...)")
    with output_folder(path, force=force, kind="logs") as folder:
        checked = _filled(logs)
        for name in (EVENTS, REQUESTS):
            (folder / TABLES[name]).mkdir()
        write_table(checked.items, folder / TABLES[ITEMS])
        write_table(checked.events, folder / TABLES[EVENTS] / "part-00000.parquet")
        write_table(checked.requests, folder / TABLES[REQUESTS] / "part-00000.parquet")
        write_heads(folder, logs.head, logs.spec)


def write_heads(folder: Path, head: LogsHead, spec: FeatureSpec) -> None:
    """Write the specification and `logs.json` to `folder`. The tables must be in it already."""
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
        compression: use lz4 for temporary files that are read once.
        row_group_size: number of rows in a row group. A reader decodes complete row groups.
        statistics: store the smallest and the largest value of each column.

    Raises:
        OutputError: the file cannot be opened or written, for example because the disk is full.
    """
    try:
        table.write_parquet(path, compression=compression, row_group_size=row_group_size, statistics=statistics)
    except POLARS_FAULTS as error:
        # polars raises an OSError when it opens the file, and an error of its own when it writes.
        raise OutputError(
            f"cannot write {path} ({first_line(error)}): free some space or choose another --out"
        ) from None


def read_head(path: Path) -> LogsDocument:
    """Read the first file of a folder of logs.

    Raises:
        FormatError: the folder does not exist, is not a folder of logs, or has another format number.
    """
    return read_document(path / HEAD, LogsDocument, what="logs", format_number=FORMAT, advice=ADVICE)


def open_logs(path: AnyPath, *, spec: FeatureSpec | None = None) -> LogsFolder:
    """Open the folder of logs `path`. Events and requests are read later, by `edgerec.data.partition`.

    Args:
        path: the folder.
        spec: the feature specification; default: the folder's `features.json`.

    Raises:
        InputError: `path` is not a path, or not UTF-8.
        FormatError: the folder does not exist or has another format number.
        LogsError: a table is missing, cannot be read or was changed, the catalogue breaks its schema, the parts of a
            table have different columns, or a part of the events is a copy of other parts.
        SpecificationError: the folder's `features.json` is not valid, a feature reads the label, or `spec` and
            `features.json` compute one column in different ways (`as_of`).
        OutputError: `edgerec forget` was killed while it changed the folder, and its change cannot be completed.
    """
    path = to_path(path, "open_logs: `path`")
    check_utf8(path, what="logs")
    # `edgerec forget` may have been killed. What else belongs to its change is no concern of those who read.
    finish_replacing(path, keep_plan=True)
    document = read_head(path)
    if spec is None and not (path / SPEC).is_file():
        raise LogsError(f"logs: {path} has no {SPEC}: write one (docs/features.md), or give one with --features")
    if spec is None:
        spec = load_spec(path / SPEC)
    elif (path / SPEC).is_file():
        check_same_as_of(path, spec)
    check_sources(spec)
    files = _files(path)
    if document.parts is not None:
        check_stamps(path, _every(files), document.parts)
    tables = {name: open_parts(name, path / where, files[name], spec) for name, where in TABLES.items()}
    check_store_columns(tables[EVENTS].columns, tables[REQUESTS].columns)
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


def check_same_as_of(path: Path, spec: FeatureSpec) -> None:
    """Raise SpecificationError if `spec` computes a column in another way than the folder's own specification.

    Otherwise the samples would say one thing, and have the values of another.
    """
    try:
        own = load_spec(path / SPEC)
    except SpecificationError:
        # `spec` may replace one that is not valid. EdgeRec computed no column by it.
        return
    for group, features in own.groups.items():
        computed = declared(features)
        for column, as_of in declared(spec.groups[group]).items():
            if computed.get(column, as_of) != as_of:
                raise SpecificationError(
                    f"{group}: the column {column!r} of {path} was computed with another as_of ({path / SPEC}): "
                    "give the feature another source, and run `edgerec as-of LOGS --out NEW --features FILE`"
                )


def check_sources(spec: FeatureSpec) -> None:
    """Raise SpecificationError if a feature reads the label."""
    for feature in request_features(spec):
        if feature.source in (CLICKED, CLICK_COUNT):
            raise SpecificationError(
                f"feature {feature.name} reads {feature.source!r}, which is what the model should predict: "
                "remove the feature"
            )


def load_logs(path: AnyPath, *, spec: FeatureSpec | None = None) -> Logs:
    """Load all tables of the folder `path` into memory and check them.

    Args:
        path: the folder.
        spec: the feature specification; default: the folder's `features.json`.

    Raises:
        InputError, FormatError, LogsError, SpecificationError: as `open_logs`, or a table breaks its schema.
    """
    folder = open_logs(to_path(path, "load_logs: `path`"), spec=spec)
    items, events, requests = (read_parts(table) for table in (folder.catalogue, folder.events, folder.requests))
    return _checked(Logs(head=folder.head, spec=folder.spec, items=items, events=events, requests=requests))


def _checked(logs: Logs) -> Logs:
    tables = {ITEMS: logs.items, EVENTS: logs.events, REQUESTS: logs.requests}
    tables = check_tables(tables, logs.spec, repeated_items=logs.head.repeated_items)
    return replace(logs, items=tables[ITEMS], events=tables[EVENTS], requests=tables[REQUESTS])


def _filled(logs: Logs) -> Logs:
    """Check `logs`, and compute the as-of columns that they lack."""
    absent = AbsentColumns.of(logs.spec, events=logs.events.columns, requests=logs.requests.columns)
    checked = _checked(replace(logs, spec=absent.without(logs.spec)))
    events, requests = fill_columns(checked.events, checked.requests, checked.items, absent)
    return replace(checked, spec=logs.spec, events=events, requests=requests)


def _files(path: Path) -> dict[str, list[Path]]:
    return {name: part_files(path / where) for name, where in TABLES.items()}


def _every(files: dict[str, list[Path]]) -> Iterable[Path]:
    return (file for table in files.values() for file in table)
