"""Partitions: sets of users with all their events and requests, small enough to be held in memory.

Files whose ranges of user IDs overlap form a group. Small groups are combined into one partition. A group that is too
large is partitioned by user first (`edgerec.data.user_ranges`). The rows of a user's history and their order do not
depend on how logs are divided into files.
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
from edgerec.core.executor import ONE_PROCESS, Executor, Local
from edgerec.core.leftovers import temporary_folder
from edgerec.data.catalogue import ItemIndex
from edgerec.data.log_checks import cast_columns, check_events, check_requests, check_times, check_unique, check_unit
from edgerec.data.log_order import sort_events, sort_requests
from edgerec.data.logs import Logs, LogsFolder
from edgerec.data.parts import read_part, reading
from edgerec.data.schema import EVENTS, ITEM_ID, REQUEST_ID, REQUESTS, TIME, USER_ID, event_features, request_features
from edgerec.data.segments import Segment, read_segments
from edgerec.data.user_ranges import partition_by_user

Result = TypeVar("Result")

TARGET = 600_000
"""Weight up to which a partition is filled. 250,000 exposures with their page-views and requests weigh about half a
million."""
REQUEST_WEIGHT = 4
"""The weight of a request with its list. An event weighs 1."""


@dataclass(frozen=True)
class Partition:
    """The segments that hold all rows of some users and no rows of other users.

    Attributes:
        events: segments of the events, in the order in which they were written.
        requests: segments of the requests, in the same order.
    """

    events: tuple[Segment, ...]
    requests: tuple[Segment, ...]

    @property
    def weight(self) -> int:
        """An estimate of the memory that the partition needs. The unit is the memory of one event."""
        return sum(part.rows for part in self.events) + REQUEST_WEIGHT * sum(part.rows for part in self.requests)


@dataclass(frozen=True)
class UserFile:
    """A part file with at least one row.

    Attributes:
        table: `events` or `requests`.
        segment: all rows of the file.
        low: the smallest user ID in the file.
        high: the largest user ID in the file.
    """

    table: str
    segment: Segment
    low: int
    high: int


@dataclass(frozen=True)
class Survey:
    """The facts about the complete logs that partitioning needs.

    Attributes:
        times: (r,) int64, the times of the requests, ascending.
        files: the files of the events, then those of the requests, each in the order in which they were written.
    """

    times: NDArray[np.int64]
    files: tuple[UserFile, ...]


def survey(logs: LogsFolder) -> Survey:
    """Read the users, times and request IDs of the logs. Check that request IDs are unique and times not in seconds.

    Raises:
        LogsError: a file cannot be read, a column is missing or has a wrong type, a request ID occurs twice, or times
            have another unit.
    """
    files: list[UserFile] = []
    first: list[int] = []
    for file in logs.events.files:
        row = _extremes(file)
        if row["rows"]:
            files.append(UserFile(EVENTS, Segment(file, row["rows"]), row["low"], row["high"]))
            first.append(row["first"])
    if first:
        check_unit(EVENTS, min(first))
    ids, times = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for file in logs.requests.files:
        part = cast_columns(REQUESTS, read_part(file, _REQUEST_COLUMNS), _REQUEST_COLUMNS, file=file)
        check_times(REQUESTS, part)
        if len(part):
            users = part[USER_ID].to_numpy()
            files.append(UserFile(REQUESTS, Segment(file, len(part)), int(users.min()), int(users.max())))
            ids.append(part[REQUEST_ID].to_numpy())
            times.append(part[TIME].to_numpy())
    check_unique(np.concatenate(ids))
    del ids
    all_times = np.concatenate(times)
    all_times.sort()
    if len(all_times):
        check_unit(REQUESTS, int(all_times[0]))
    return Survey(times=all_times, files=tuple(files))


_REQUEST_COLUMNS = (REQUEST_ID, USER_ID, TIME)


def _extremes(file: Path) -> Mapping[str, int]:
    """Return the number of `rows`, smallest (`low`) and largest user ID (`high`) and `first` time of a file of events.

    The column types must be checked already.
    """
    user, time = pl.col(USER_ID), pl.col(TIME)
    wanted = {"rows": pl.len(), "low": user.min(), "high": user.max(), "first": time.min()}
    nulls = user.null_count() + time.null_count()
    with reading(file):
        row = pl.scan_parquet(file, glob=False).select(nulls=nulls, **wanted).collect().row(0, named=True)
    if row["nulls"] or (row["rows"] and not -(2**63) <= row["low"] <= row["high"] < 2**63):
        # This raises the error that names the column and the reason.
        cast_columns(EVENTS, read_part(file, (USER_ID, TIME)), (USER_ID, TIME), file=file)
    return row


def partitions(
    logs: LogsFolder,
    found: Survey,
    *,
    scratch: Path,
    target: int = TARGET,
    executor: Executor = ONE_PROCESS,
) -> list[Partition]:
    """Return the partitions of `logs`, in ascending order of users.

    Args:
        logs: the opened folder.
        found: the survey of `logs`.
        scratch: an empty folder. Rows of large groups of files are written to it again, partitioned by user. They take
            as much disk space as before. Keep the folder until all partitions are read.
        target: weight up to which a partition is filled.
        executor: where rows are partitioned by user.

    Raises:
        LogsError: a file cannot be read.
        OutputError: the disk is full.
    """
    made: list[Partition] = []
    current = Partition((), ())
    for group in _groups(found.files):
        part = Partition(*(_segments(group, table) for table in (EVENTS, REQUESTS)))
        if part.weight > 2 * target:
            if current.weight:
                made.append(current)
            current = Partition((), ())
            tables = (logs.events, part.events, 1), (logs.requests, part.requests, REQUEST_WEIGHT)
            ranges = partition_by_user(tables, scratch / f"{len(made):05d}", target=target, executor=executor)
            made += [Partition(*segments) for segments in ranges]
            continue
        if current.weight and current.weight + part.weight > target:
            made.append(current)
            current = Partition((), ())
        current = Partition(current.events + part.events, current.requests + part.requests)
    return [*made, current] if current.weight else made


def _groups(files: Iterable[UserFile]) -> Iterator[list[UserFile]]:
    """Yield the files in groups that share no user, in ascending order of users."""
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


def _segments(group: Iterable[UserFile], table: str) -> tuple[Segment, ...]:
    # Files were written in the order of their paths.
    return tuple(sorted((file.segment for file in group if file.table == table), key=lambda part: part.file))


def load_partition(logs: LogsFolder, partition: Partition) -> Logs:
    """Load the logs of the partition's users. They are checked and sorted as by `edgerec.data.logs.load_logs`.

    Only the columns that the schema and the specification name are loaded.

    Args:
        logs: the opened folder.
        partition: a partition of `logs`.

    Raises:
        LogsError: a file cannot be read, or a table breaks its schema.
    """
    index = ItemIndex.of(logs.items[ITEM_ID].to_numpy())
    events = read_segments(logs.events, partition.events)
    requests = read_segments(logs.requests, partition.requests)
    features, repeated = request_features(logs.spec), logs.head.repeated_items
    return Logs(
        head=logs.head,
        spec=logs.spec,
        items=logs.items,
        events=sort_events(check_events(events, event_features(logs.spec), index)),
        requests=sort_requests(check_requests(requests, features, index, repeated_items=repeated)),
    )


def map_partitions(
    function: Callable[[Logs], Result],
    logs: LogsFolder,
    *,
    processes: int = 1,
    target: int = TARGET,
) -> Iterator[Result]:
    """Yield ``function(users_logs)`` for each partition of `logs`, with the checked logs of its users.

    Rows that are written again are in a temporary folder until the iterator is closed. This folder is beside the logs,
    or in the system's temporary folder if the folder beside the logs cannot be written. The progress is shown.

    Args:
        function: a function of the logs of some users. With several processes, it and its result are pickled.
        logs: the opened folder. Its catalogue is sent with every partition, so drop the columns that `function` does
            not need.
        processes: number of processes. Each works on one partition at a time.
        target: weight up to which a partition is filled.

    Raises:
        LogsError: a file cannot be read, or a table breaks its schema.
        OutputError: the disk is full.
        ResourceError: a process died.
        Exception: what `function` raises.
    """
    found = survey(logs)
    with scratch_folder(logs.path) as scratch:
        executor = Local(processes)
        parts = partitions(logs, found, scratch=scratch, target=target, executor=executor)
        mapped = executor.map_ordered(partial(_apply, function, logs), parts)
        yield from progress(mapped, what="parts", total=len(parts))


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder for rows of the logs `path` that are written again."""
    # The system's temporary folder is the second choice: it may be in memory, and the rows may be as large as the logs.
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder(path.resolve(), "parts"))
        except OSError:
            folder = stack.enter_context(temporary_folder(Path(tempfile.gettempdir(), "edgerec"), "parts"))
        yield folder


def _apply(function: Callable[[Logs], Result], logs: LogsFolder, partition: Partition) -> Result:
    return function(load_partition(logs, partition))
