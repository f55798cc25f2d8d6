"""Write shards. Each behaviour is stored once, and requests refer to ranges of behaviours (docs/formats.md)."""

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
"""Number of rows in a row group. It is fixed, because the bytes of a file depend on it."""


def write_behaviours(
    path: Path,
    *,
    time: NDArray[np.int64],
    item: NDArray[np.int32],
    action: Mapping[str, NDArray[Any]],
    served: Mapping[str, NDArray[Any]],
) -> None:
    """Write the behaviours of one kind to a file. All arrays have shape (n,).

    Args:
        path: the file.
        time: milliseconds since 1970.
        item: the items' rows of the catalogue.
        action: the encoded column of each action feature, by name.
        served: the encoded column of each served feature, by name.

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
    relations: Mapping[str, NDArray[Any]],
    context: Mapping[str, NDArray[Any]],
) -> None:
    """Write requests to files.

    Args:
        paths: the files, and the slice of requests that is written to each.
        request_id: (r,), the request IDs.
        time: (r,), milliseconds since 1970.
        user: (r,), the user IDs.
        page: (r,), the page IDs.
        known: (r, 3) for each kind: the row at which the recurrence starts, the first known behaviour, and the row
            after the last known one.
        lengths: (r,), number of candidates of each request, at least 1.
        item: (candidates,), the candidates' rows of the catalogue.
        label: (candidates,), the candidates' labels.
        served: (candidates,), the encoded column of each served feature, by name.
        relations: (candidates,), the encoded column of each relation, by name.
        context: (r,), the encoded column of each context feature, by name.

    Raises:
        OutputError: the disk is full.
    """
    flat: dict[str, NDArray[Any]] = {"item": item, "label": label}
    flat |= _named("served", served) | _named("relation", relations)
    row = pl.Series("row", np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)).set_sorted()
    lists = pl.DataFrame([row, *(pl.Series(name, values) for name, values in flat.items())])
    table = pl.DataFrame(
        {
            "request_id": request_id,
            "time": time,
            "user": user,
            "page": page,
            **{name: column for kind, ranges in known.items() for name, column in _ranges(kind, ranges).items()},
            **_named("context", context),
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
