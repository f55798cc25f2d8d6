"""Writes shards: behaviours once, requests that name ranges of them (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.logs import write_table
from edgerec.data.shard_reader import RANGE_COLUMNS
from edgerec.features.behaviours import BehaviourKind

ROW_GROUP = 65_536
"""Rows that a file has together; fixed, as it shows in the bytes."""


def write_behaviours(
    path: Path,
    *,
    time: NDArray[np.int64],
    item: NDArray[np.int32],
    action: Mapping[str, NDArray[Any]],
    served: Mapping[str, NDArray[Any]],
) -> None:
    """Write behaviours of one kind as the file `path`: times, rows of the catalogue and features by name, (n,) each.

    Raises:
        OutputError: the disk is full.
    """
    columns = {"time": time, "item": item, **_named("action", action), **_named("served", served)}
    write_table(pl.DataFrame(columns), path, row_group_size=ROW_GROUP, statistics=False)


def write_requests(
    paths: Sequence[tuple[Path, slice]],
    *,
    request_id: NDArray[np.int64],
    time: NDArray[np.int64],
    user: NDArray[np.int64],
    page: NDArray[np.int64],
    known: Mapping[BehaviourKind, NDArray[np.int64]],
    lengths: NDArray[np.int64],
    item: NDArray[np.int32],
    label: NDArray[np.uint8],
    served: Mapping[str, NDArray[Any]],
) -> None:
    """Write requests as files.

    Args:
        paths: each file, and which of the requests go there.
        request_id: (r,).
        time: (r,), milliseconds since 1970.
        user: (r,), who asked.
        page: (r,), on which of the user's pages.
        known: (r, 3) of each kind: where recurrences start, the first known behaviour, one past the last.
        lengths: (r,), number of candidates of each, at least 1.
        item: (candidates,), their rows of the catalogue.
        label: (candidates,).
        served: (candidates,), encoded features by name.

    Raises:
        OutputError: the disk is full.
    """
    flat: dict[str, NDArray[Any]] = {"item": item, "label": label, **_named("served", served)}
    row = pl.Series("row", np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)).set_sorted()
    lists = pl.DataFrame([row, *(pl.Series(name, values) for name, values in flat.items())])
    table = pl.DataFrame(
        {
            "request_id": request_id,
            "time": time,
            "user": user,
            "page": page,
            **{name: column for kind, ranges in known.items() for name, column in _ranges(kind, ranges).items()},
        }
    ).hstack(lists.group_by("row", maintain_order=True).agg(pl.all()).drop("row"))
    for path, rows in paths:
        write_table(table[rows], path, row_group_size=ROW_GROUP, statistics=False)


def _ranges(kind: BehaviourKind, ranges: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    start, begin, end = ranges.T
    columns = (start.astype(np.int32), begin.astype(np.int32), (end - begin).astype(np.int16))
    return dict(zip(RANGE_COLUMNS[kind], columns, strict=True))


def _named(group: str, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{group}.{name}": column for name, column in columns.items()}
