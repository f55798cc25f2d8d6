"""Partition by user: divide large files, which have the rows of many users, into ranges of users.

A file is read in slices. The rows of each slice are ordered by range and written to a new file. So a range has at most
one segment in each new file. Memory holds one slice for each process and one count for each user. The new files take as
much disk space as the old ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerec.core.executor import ONE_PROCESS, Executor
from edgerec.core.leftovers import temporary_file
from edgerec.data.logs import write_table
from edgerec.data.parts import Parts
from edgerec.data.schema import USER_ID
from edgerec.data.segments import Segment, read_segments

SLICE = 300_000
"""Weight of the rows that a process holds in memory."""
ROW_GROUP = 8192
"""Number of rows that are decoded together. It is small, so that a reader of a range decodes few other rows."""

WeightedTable = tuple[Parts, Sequence[Segment], int]
"""A table, the segments to partition, and the weight of one row."""


@dataclass(frozen=True)
class _Slice:
    """Rows that are written again, ordered by range of users.

    Attributes:
        parts: the table of the rows.
        segment: the rows to read.
        bounds: the first user of the second range, of the third range and so on; ascending.
        file: the file to write.
    """

    parts: Parts
    segment: Segment
    bounds: NDArray[np.int64]
    file: Path


def partition_by_user(
    tables: Sequence[WeightedTable],
    folder: Path,
    *,
    target: int,
    executor: Executor = ONE_PROCESS,
) -> Iterator[list[tuple[Segment, ...]]]:
    """Yield ranges of users with about the weight `target`, in ascending order.

    A range is a list with one tuple for each table: the segments that hold the rows of its users.

    Args:
        tables: events and requests.
        folder: the folder of the new files. It is created.
        target: weight of a range. A user who weighs more gets a range of their own.
        executor: where slices are written.

    Raises:
        LogsError: a file cannot be read.
        OutputError: the disk is full.
    """
    folder.mkdir(parents=True)
    bounds = _bounds(tables, target)
    ranges_by_table: list[list[list[Segment]]] = []
    for parts, segments, weight in tables:
        slices = [
            _Slice(parts, piece, bounds, folder / f"{parts.name}-{number:05d}.parquet")
            for number, piece in enumerate(_slices(segments, SLICE // weight))
        ]
        ranges: list[list[Segment]] = [[] for _ in range(len(bounds) + 1)]
        for slice_, counts in zip(slices, executor.map_ordered(_write, slices), strict=True):
            offset = 0
            for number, count in enumerate(counts):
                if count:
                    ranges[number].append(Segment(slice_.file, count, offset))
                offset += count
        ranges_by_table.append(ranges)
    for range_ in zip(*ranges_by_table, strict=True):
        yield [tuple(segments) for segments in range_]


def _write(task: _Slice) -> list[int]:
    """Write the rows of a slice ordered by range, and return the number of rows of each range.

    Rows of one range keep their order.
    """
    rows = read_segments(task.parts, [task.segment])
    ranges = np.searchsorted(task.bounds, rows[USER_ID].to_numpy(), side="right")
    order = np.argsort(ranges, kind="stable")
    # Atomically: on a cluster, a worker that was thought dead may write the same file at the same time.
    with temporary_file(task.file) as partial:
        write_table(rows[order], partial, compression="lz4", row_group_size=ROW_GROUP, statistics=False)
        partial.replace(task.file)
    counts: list[int] = np.bincount(ranges, minlength=len(task.bounds) + 1).tolist()
    return counts


def _bounds(tables: Sequence[WeightedTable], target: int) -> NDArray[np.int64]:
    """Return the first user of the second range, the third range and so on. Each range weighs about `target`."""
    users, weights = np.empty(0, np.int64), np.empty(0, np.int64)
    for parts, segments, weight in tables:
        for piece in _slices(segments, 4 * SLICE):
            column = read_segments(parts, [piece], (USER_ID,))[USER_ID]
            more, counts = np.unique(column.to_numpy(), return_counts=True)
            users, indices = np.unique(np.concatenate([users, more]), return_inverse=True)
            weights = np.bincount(indices, np.concatenate([weights, weight * counts])).astype(np.int64)
    bounds, filled = [], 0
    for user, weight in zip(users.tolist(), weights.tolist(), strict=True):
        if filled and filled + weight > target:
            bounds.append(user)
            filled = 0
        filled += weight
    return np.array(bounds, np.int64)


def _slices(segments: Sequence[Segment], rows: int) -> Iterator[Segment]:
    """Split segments into pieces of at most `rows` rows."""
    for segment in segments:
        first = segment.offset or 0
        for begin in range(0, segment.rows, rows):
            yield Segment(segment.file, min(rows, segment.rows - begin), first + begin)
