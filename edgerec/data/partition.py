"""Partitions: sets of users with all their events and requests, small enough to be held in memory.

Logs lie in files as they were written. Files whose ranges of users overlap belong together; small groups of them are
put together to one partition, and a group that is too large is dealt out by users first (`edgerec.data.deal`). Which
rows make a user's history, and in which order, does not depend on how logs are cut into files.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.console import progress
from edgerec.core.leftovers import temporary_folder
from edgerec.core.parallel import map_ordered
from edgerec.data.catalogue import ItemIndex
from edgerec.data.deal import deal
from edgerec.data.logs import Logs, LogsFolder
from edgerec.data.parts import read_part, reading
from edgerec.data.schema import (
    EVENTS,
    ITEM_ID,
    REQUEST_ID,
    REQUESTS,
    TIME,
    USER_ID,
    cast_columns,
    check_events,
    check_requests,
    check_times,
    check_unique,
    check_unit,
    event_features,
    sort_events,
    sort_requests,
)
from edgerec.data.stretch import Stretch, read_stretches
from edgerec.features.spec import of_origin

Result = TypeVar("Result")

TARGET = 600_000
"""Weight that a partition is filled up to; 250,000 exposures with their page-views and requests weigh about half a
million."""
REQUEST_WEIGHT = 4
"""A request, with its list, weighs as much as so many events."""


@dataclass(frozen=True)
class Partition:
    """Where the rows of some users are: all rows of these users, and of nobody else.

    Attributes:
        events: in order of writing.
        requests: likewise.
    """

    events: tuple[Stretch, ...]
    requests: tuple[Stretch, ...]

    @property
    def weight(self) -> int:
        """How much memory it takes, in events."""
        return sum(part.rows for part in self.events) + REQUEST_WEIGHT * sum(part.rows for part in self.requests)


@dataclass(frozen=True)
class UserFile:
    """A part file with rows.

    Attributes:
        table: `events` or `requests`.
        stretch: all of it.
        low: its first user.
        high: its last user.
    """

    table: str
    stretch: Stretch
    low: int
    high: int


@dataclass(frozen=True)
class Survey:
    """What has to be known of all logs before any part of them is read closely.

    Attributes:
        times: (r,) int64, ascending: when requests were made.
        files: events first, each table in order of writing.
    """

    times: NDArray[np.int64]
    files: tuple[UserFile, ...]


def survey(logs: LogsFolder) -> Survey:
    """Look over users, times and identities of requests: all that no part can be checked for by itself.

    Raises:
        LogsError: a file cannot be read, a column is missing or of a wrong type, a request stands twice, times are in
            another unit.
    """
    files: list[UserFile] = []
    first: list[int] = []
    for file in logs.events.files:
        row = _extremes(file)
        if row["rows"]:
            files.append(UserFile(EVENTS, Stretch(file, row["rows"]), row["low"], row["high"]))
            first.append(row["first"])
    if first:
        check_unit(EVENTS, min(first))
    ids, times = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for file in logs.requests.files:
        part = cast_columns(REQUESTS, read_part(file, _ASKED), _ASKED, file=file)
        check_times(REQUESTS, part)
        if len(part):
            users = part[USER_ID].to_numpy()
            files.append(UserFile(REQUESTS, Stretch(file, len(part)), int(users.min()), int(users.max())))
            ids.append(part[REQUEST_ID].to_numpy())
            times.append(part[TIME].to_numpy())
    check_unique(np.concatenate(ids))
    del ids
    every = np.concatenate(times)
    every.sort()
    if len(every):
        check_unit(REQUESTS, int(every[0]))
    return Survey(times=every, files=tuple(files))


_ASKED = (REQUEST_ID, USER_ID, TIME)


def _extremes(file: Path) -> Mapping[str, int]:
    """`rows`, `low` and `high` user and `first` time of a file of events, whose types were checked."""
    user, time = pl.col(USER_ID), pl.col(TIME)
    wanted = {"rows": pl.len(), "low": user.min(), "high": user.max(), "first": time.min()}
    nulls = user.null_count() + time.null_count()
    with reading(file):
        row = pl.scan_parquet(file, glob=False).select(nulls=nulls, **wanted).collect().row(0, named=True)
    if row["nulls"] or (row["rows"] and not -(2**63) <= row["low"] <= row["high"] < 2**63):
        # Says which and why.
        cast_columns(EVENTS, read_part(file, (USER_ID, TIME)), (USER_ID, TIME), file=file)
    return row


def partitions(
    logs: LogsFolder,
    found: Survey,
    *,
    scratch: Path,
    target: int = TARGET,
    processes: int = 1,
) -> list[Partition]:
    """The partitions of `logs`, in ascending order of users.

    Args:
        logs: the opened folder.
        found: its survey.
        scratch: an empty folder for what has to be dealt out, as large as those logs; needed while partitions are read.
        target: weight that partitions are filled up to.
        processes: how many deal.

    Raises:
        LogsError: a file cannot be read.
        OutputError: the disk is full.
    """
    made: list[Partition] = []
    open_ = Partition((), ())
    for group in _groups(found.files):
        part = Partition(*(_stretches(group, table) for table in (EVENTS, REQUESTS)))
        if part.weight > 2 * target:
            if open_.weight:
                made.append(open_)
            open_ = Partition((), ())
            tables = (logs.events, part.events, 1), (logs.requests, part.requests, REQUEST_WEIGHT)
            dealt = deal(tables, scratch / f"{len(made):05d}", target=target, processes=processes)
            made += [Partition(*stretches) for stretches in dealt]
            continue
        if open_.weight and open_.weight + part.weight > target:
            made.append(open_)
            open_ = Partition((), ())
        open_ = Partition(open_.events + part.events, open_.requests + part.requests)
    return [*made, open_] if open_.weight else made


def _groups(files: Iterable[UserFile]) -> Iterator[list[UserFile]]:
    """Files in groups that share no user, in ascending order of users."""
    group: list[UserFile] = []
    last = 0
    for file in sorted(files, key=lambda file: file.low):
        if group and file.low > last:
            yield group
            group = []
        last = max(last, file.high) if group else file.high
        group.append(file)
    if group:
        yield group


def _stretches(group: Iterable[UserFile], table: str) -> tuple[Stretch, ...]:
    # By name, which is the order of writing.
    return tuple(sorted((file.stretch for file in group if file.table == table), key=lambda part: part.file))


def read_partition(logs: LogsFolder, partition: Partition) -> Logs:
    """The logs of the partition's users, checked and sorted like `edgerec.data.logs.read_logs` does with all.

    Of the columns those that the schema and the specification read.

    Args:
        logs: the opened folder.
        partition: of these logs.

    Raises:
        LogsError: a file cannot be read, or a table breaks its schema.
    """
    index = ItemIndex.of(logs.items[ITEM_ID].to_numpy())
    events = read_stretches(logs.events, partition.events)
    requests = read_stretches(logs.requests, partition.requests)
    served, repeated = of_origin(logs.spec.item, "served"), logs.head.repeated_items
    return Logs(
        head=logs.head,
        spec=logs.spec,
        items=logs.items,
        events=sort_events(check_events(events, event_features(logs.spec), index)),
        requests=sort_requests(check_requests(requests, served, index, repeated_items=repeated)),
    )


def map_partitions(
    function: Callable[[Logs], Result],
    logs: LogsFolder,
    *,
    processes: int = 1,
    target: int = TARGET,
) -> Iterator[Result]:
    """``function(part)`` of `logs` by and by: of some users, then of others, each user's checked logs whole.

    What has to be dealt out first stands in a temporary folder as long as the iterator lives: beside the logs or, where
    nothing can be written there, in the system's folder for such things.
    Shows progress.

    Args:
        function: pickles, where there are several processes, and so does what it returns.
        logs: the opened folder; of its catalogue, which goes along with every part, what `function` needs will do.
        processes: how many work at a time, each on a partition.
        target: weight that partitions are filled up to.

    Raises:
        LogsError: a file cannot be read, or a table breaks its schema.
        OutputError: the disk is full.
        ResourceError: a process died.
        Exception: what `function` raises.
    """
    found = survey(logs)
    with _scratch(logs.path) as scratch:
        parts = partitions(logs, found, scratch=scratch, target=target, processes=processes)
        mapped = map_ordered(partial(_apply, function, logs), parts, processes=processes)
        yield from progress(mapped, what="parts", total=len(parts))


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    # The system's folder may lie in memory, and what is dealt out is as large as the logs.
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder(path.resolve(), "parts"))
        except OSError:
            folder = stack.enter_context(temporary_folder(Path(tempfile.gettempdir(), "edgerec"), "parts"))
        yield folder


def _apply(function: Callable[[Logs], Result], logs: LogsFolder, partition: Partition) -> Result:
    return function(read_partition(logs, partition))
