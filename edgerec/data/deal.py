"""Dealing out: rows of many users that lie mixed in large files, put together by ranges of users.

A file is read slice by slice, and each slice is written again in order of ranges, so that a range is one stretch of
each slice. Memory holds a slice a process, and a count for each user; the disk holds all rows once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerec.core.parallel import map_ordered
from edgerec.data.logs import write_table
from edgerec.data.parts import Parts
from edgerec.data.schema import USER_ID
from edgerec.data.stretch import Stretch, read_stretches

SLICE = 300_000
"""Weight of what is held in memory at a time."""
ROW_GROUP = 8192
"""Rows that are decoded together: small beside a range's share of a slice, so that little else is read with it."""

Table = tuple[Parts, Sequence[Stretch], int]
"""A table, the stretches to deal out, and what one of its rows weighs."""


@dataclass(frozen=True)
class _Slice:
    """Rows to be written in order of ranges.

    Attributes:
        parts: their table.
        stretch: where they are.
        bounds: first user of each range but the first, ascending.
        file: where to.
    """

    parts: Parts
    stretch: Stretch
    bounds: NDArray[np.int64]
    file: Path


def deal(
    tables: Sequence[Table],
    folder: Path,
    *,
    target: int,
    processes: int = 1,
) -> Iterator[list[tuple[Stretch, ...]]]:
    """Ranges of users of about the weight `target`, in ascending order: for each, its stretches of each table.

    Args:
        tables: events and requests.
        folder: is made, for the files of what is dealt out.
        target: weight of a range; a user who alone weighs more is a range of their own.
        processes: how many deal.

    Raises:
        LogsError: a file cannot be read.
        OutputError: the disk is full.
    """
    folder.mkdir(parents=True)
    bounds = _bounds(tables, target)
    dealt: list[list[list[Stretch]]] = []
    for parts, stretches, weight in tables:
        slices = [
            _Slice(parts, piece, bounds, folder / f"{parts.name}-{number:05d}.parquet")
            for number, piece in enumerate(_slices(stretches, SLICE // weight))
        ]
        ranges: list[list[Stretch]] = [[] for _ in range(len(bounds) + 1)]
        for slice_, counts in zip(slices, map_ordered(_write, slices, processes=processes), strict=True):
            offset = 0
            for number, count in enumerate(counts):
                if count:
                    ranges[number].append(Stretch(slice_.file, count, offset))
                offset += count
        dealt.append(ranges)
    for range_ in zip(*dealt, strict=True):
        yield [tuple(stretches) for stretches in range_]


def _write(task: _Slice) -> list[int]:
    """Write a slice in order of ranges, and of writing within each; returns how many rows each range has."""
    rows = read_stretches(task.parts, [task.stretch])
    ranges = np.searchsorted(task.bounds, rows[USER_ID].to_numpy(), side="right")
    order = np.argsort(ranges, kind="stable")
    write_table(rows[order], task.file, compression="lz4", row_group_size=ROW_GROUP, statistics=False)
    counts: list[int] = np.bincount(ranges, minlength=len(task.bounds) + 1).tolist()
    return counts


def _bounds(tables: Sequence[Table], target: int) -> NDArray[np.int64]:
    """Where ranges of users begin, so that each weighs about `target`; the first begins anywhere."""
    users, weights = np.empty(0, np.int64), np.empty(0, np.int64)
    for parts, stretches, weight in tables:
        for piece in _slices(stretches, 4 * SLICE):
            column = read_stretches(parts, [piece], (USER_ID,))[USER_ID]
            found, counts = np.unique(column.to_numpy(), return_counts=True)
            users, places = np.unique(np.concatenate([users, found]), return_inverse=True)
            weights = np.bincount(places, np.concatenate([weights, weight * counts])).astype(np.int64)
    bounds, filled = [], 0
    for user, weight in zip(users.tolist(), weights.tolist(), strict=True):
        if filled and filled + weight > target:
            bounds.append(user)
            filled = 0
        filled += weight
    return np.array(bounds, np.int64)


def _slices(stretches: Sequence[Stretch], rows: int) -> Iterator[Stretch]:
    for stretch in stretches:
        first = stretch.offset or 0
        for begin in range(0, stretch.rows, rows):
            yield Stretch(stretch.file, min(rows, stretch.rows - begin), first + begin)
