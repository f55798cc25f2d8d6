"""What only all rows of a user show: ordinals, behaviours at the time of a request, exposures without a label.

Users are read in partitions, with only the columns that this needs. So memory is bounded as it is for samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from edgerec.data.check.findings import Findings
from edgerec.data.check.scan import Counts
from edgerec.data.log_faults import Fault
from edgerec.data.log_order import order_events
from edgerec.data.logs import LogsFolder, LogsHead
from edgerec.data.ordinals import find_ordinals
from edgerec.data.partition import Survey, UserFile, partitions, scratch_folder
from edgerec.data.parts import Parts, read_part
from edgerec.data.schema import (
    CLICKED,
    EVENTS,
    ITEM_ID,
    ITEMS,
    KIND,
    OFFERED_AT,
    OPTIONAL,
    ORDINAL,
    REQUESTS,
    REQUIRED,
    STORE_ID,
    TIME,
    USER_ID,
)
from edgerec.data.segments import Segment, read_segments
from edgerec.features.behaviours import EXPOSURE
from edgerec.features.spec import FeatureSpec

COLUMNS = {
    EVENTS: (USER_ID, TIME, KIND, ITEM_ID, STORE_ID, ORDINAL, OFFERED_AT),
    REQUESTS: (USER_ID, TIME, ITEM_ID, CLICKED, STORE_ID),
}
"""The columns that are read, if they exist."""


@dataclass
class UserCounts:
    """Counts over all users.

    Attributes:
        users: number of users with a request.
        one_request: how many of them have only one request.
        requests: number of requests.
        same_time: number of requests that share the time of a behaviour of their user and store, other than
            of a card that the request itself offered.
        exposures: number of exposures.
        unlabelled: how many of them are of an item that no request of the user labels.
    """

    users: int = 0
    one_request: int = 0
    requests: int = 0
    same_time: int = 0
    exposures: int = 0
    unlabelled: int = 0

    def add(self, events: pl.DataFrame, requests: pl.DataFrame) -> None:
        """Count the rows of some users."""
        of_user = requests.group_by(USER_ID).len()["len"]
        self.users += len(of_user)
        self.one_request += int((of_user == 1).sum() or 0)
        self.requests += len(requests)
        instant = [name for name in (USER_ID, STORE_ID, TIME) if name in events.columns and name in requests.columns]
        # What a list itself offered cannot have triggered its request.
        earlier = events.filter(pl.col(OFFERED_AT).ne_missing(pl.col(TIME))) if OFFERED_AT in events.columns else events
        self.same_time += len(requests.select(instant).join(earlier, on=instant, how="semi", nulls_equal=True))
        labelled = requests.select(USER_ID, ITEM_ID, CLICKED).explode(ITEM_ID, CLICKED).drop_nulls(CLICKED)
        exposures = events.filter(pl.col(KIND) == EXPOSURE.name)
        self.exposures += len(exposures)
        self.unlabelled += len(exposures.join(labelled, on=(USER_ID, ITEM_ID), how="anti"))


def check_users(
    folder: Path, head: LogsHead, spec: FeatureSpec, counts: Counts, findings: Findings, found: UserCounts
) -> Iterator[int]:
    """Read all users in partitions, and count them in `found`. Yield the number of partitions at first and after each.

    The columns `COLUMNS` of all files must be without errors.

    Raises:
        LogsError: a file cannot be read.
        OutputError: the disk is full.
    """
    tables = {table: _narrow(table, counts) for table in (EVENTS, REQUESTS)}
    logs = LogsFolder(
        path=folder,
        head=head,
        spec=spec,
        items=pl.DataFrame({ITEM_ID: counts.items.ids}),
        catalogue=Parts(ITEMS, (), pl.Schema(), {}, ()),
        events=tables[EVENTS],
        requests=tables[REQUESTS],
    )
    files = (UserFile(table, Segment(file, rows), low, high) for file, (table, rows, low, high) in counts.users.items())
    with scratch_folder(folder) as scratch:
        parts = partitions(logs, Survey(counts.times.values(), tuple(files)), scratch=scratch)
        yield len(parts)
        for part in parts:
            events = order_events(read_segments(logs.events, part.events))
            for fault in find_ordinals(events):
                # Only the first case is shown with its place, which takes long to find.
                known = findings.has(fault, EVENTS)
                findings.error(replace(fault, row=None) if known else _placed(fault, events, tables[EVENTS]), EVENTS)
            found.add(events, read_segments(logs.requests, part.requests))
            yield len(parts)


def _narrow(table: str, counts: Counts) -> Parts:
    """Return the table with only the columns `COLUMNS`."""
    files = tuple(file for file, (of, *_) in counts.users.items() if of == table)
    there = set.intersection(*(set(pl.scan_parquet(f, glob=False).collect_schema()) for f in files)) if files else set()
    types = {**REQUIRED[table], **OPTIONAL[table]}
    # Without files, the table has the columns that it needs.
    names = [name for name in COLUMNS[table] if name in there or (not files and name in REQUIRED[table])]
    schema = pl.Schema({name: types[name] for name in names})
    return Parts(table, files, schema, dict(schema), tuple(names))


def _placed(fault: Fault, events: pl.DataFrame, table: Parts) -> Fault:
    """Return the fault with the file of its row, and with the index of the row in this file."""
    wanted = events[[fault.row or 0]]
    for file in table.files:
        rows = read_part(file, table.columns).cast(dict(table.schema)).with_row_index("row")  # type: ignore[arg-type]
        same = rows.join(wanted, on=list(wanted.columns), how="semi", nulls_equal=True)
        if len(same):
            return replace(fault, file=file, row=int(same["row"][-1]))
    return replace(fault, row=None)
