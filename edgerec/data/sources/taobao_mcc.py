"""Taobao-MCC (Tianchi 109858): SOURCE is the folder that holds the two files Part1-taobao_open_mcc_*.csv.

Logs are written in parts, so memory does not grow with the files.

The data set has both behaviour sequences of each request, but no request IDs, item IDs or times. So each request
becomes a separate user, who has the behaviours of these sequences and makes one request. docs/formats.md explains these
decisions; `taobao_mcc.json` is the feature specification.

1. Read each file in blocks. Check each block, group its rows by request and write them to disk (`_taobao_mcc_files`).
2. Number the requests by their first rows in both files, and partition the written rows by these numbers.
3. Make the tables of each part.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.console import progress
from edgerec.core.errors import LogsError
from edgerec.data.logs import LogsHead
from edgerec.data.sources._taobao_mcc_files import (
    ATTRIBUTES,
    BLOCK_BYTES,
    MAX_ATTRIBUTE,
    PLACE,
    PREFIXES,
    TEST,
    TRAIN,
    USER,
    read_contexts,
)
from edgerec.data.sources.source import Source, UserLogs
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

FIRST_TIME_MS = 1_577_836_800_000
"""The artificial time of the first request: 2020-01-01."""
STEP_MS = 1000
"""Milliseconds between two requests."""
MAX_LIST = 100
"""The longest list. It is the default limit of samples."""
PART = 250_000
"""Number of behaviours and candidates at which a part ends."""

Latest = Literal["first", "last"]
CANDIDATES = ["lines", *PLACE, "item_id", "clicked", "score"]


@dataclass
class TaobaoMcc(Source):
    """Taobao-MCC: a folder with both CSV files. Temporary files take about a tenth of their size.

    The notes are `source_users` (number of users in the data set; in the logs, each request is a user), `parts`, and
    `pages_rising`. For `pages_rising`, take all pairs of neighbouring exposures in a sequence that are on different
    pages. It is the share of pairs whose second exposure is on the later page. A value near 1 suggests `latest="last"`,
    a value near 0 `latest="first"`. It is None if there are no such pairs.

    Attributes:
        latest: which end of a behaviour sequence (before the padding) has the latest behaviour.
        block_bytes: size of a block of text.
        part: number of behaviours and candidates in a part.
    """

    title: ClassVar[str] = "Taobao-MCC"

    latest: Annotated[Latest, "Position of the latest behaviour in each behaviour sequence: first or last."] = "last"
    block_bytes: int = BLOCK_BYTES
    part: int = PART

    @cached_property
    def _found(self) -> _Survey:
        return _survey(self.folder, self.scratch, self.block_bytes)

    @cached_property
    def _plan(self) -> _Plan:
        return _plan(self._found, self.part)

    def head(self) -> LogsHead:
        return LogsHead(name="taobao-mcc", test_from=_time(self._plan.test_begins), repeated_items=True)

    def items(self) -> pl.DataFrame:
        return _items(self._found.items)

    def read(self) -> Iterator[UserLogs]:
        _partition(self.scratch, self._plan)
        for number in progress(range(self._plan.parts), what="write logs", total=self._plan.parts):
            folder = self.scratch / f"part-{number}"
            requests, events = _part(pl.concat(_tables(folder)), self.latest)
            yield UserLogs(events, requests)
            shutil.rmtree(folder)

    def notes(self) -> dict[str, Any]:
        found = self._found
        return {
            "source_users": found.users,
            "parts": self._plan.parts,
            "pages_rising": found.rising / found.turning if found.turning else None,
        }


@dataclass(frozen=True)
class _Survey:
    """What is known after both files are read. Arrays have one entry for each written row, in the order of reading.

    Attributes:
        keys: (n, 2) uint64, the keys of the requests.
        rows: (n,) int64, the number of the request's first row. Rows are numbered through both files.
        candidates: (n,) int32, number of candidates.
        behaviours: (n,) int32, number of behaviours.
        test_row: number of the first row of the second file.
        items: the item IDs, ascending.
        users: number of different users in both files.
        rising: number of pairs of neighbouring exposures where the second one is on a later page.
        turning: number of pairs of neighbouring exposures on different pages.
    """

    keys: NDArray[np.uint64]
    rows: NDArray[np.int64]
    candidates: NDArray[np.int32]
    behaviours: NDArray[np.int32]
    test_row: int
    items: NDArray[np.int32]
    users: int
    rising: int
    turning: int


@dataclass(frozen=True)
class _Plan:
    """The request and the part of each written row.

    Attributes:
        request: (n,) int64, the number of the request. If it is split into several, this is the number of the first.
        part: (n,) int32, the number of the part.
        parts: number of parts.
        test_begins: number of the first request of the test period.
    """

    request: NDArray[np.int64]
    part: NDArray[np.int32]
    parts: int
    test_begins: int


def _survey(source: Path, work: Path, block_bytes: int) -> _Survey:
    """Read both files and write the requests of their blocks to the folder `work`."""
    seen: dict[str, list[NDArray[Any]]] = {"keys": [], "rows": [], "candidates": [], "behaviours": []}
    items, users = np.empty(0, np.int32), np.empty(0, np.uint64)
    read, test_row, rising, turning = 0, 0, 0, 0
    for name in (TRAIN, TEST):
        path = source / name
        before = test_row = read
        size = -(-path.stat().st_size // block_bytes) if path.is_file() else None
        for rows, found in progress(read_contexts(path, block_bytes=block_bytes), what=f"read {name}", total=size):
            found.write_ipc(_numbered(work / "contexts", read), compression="lz4")
            lengths = [found[column].list.len() for column in ("exp_item_id", "ipv_item_id")]
            seen["keys"].append(found.select("key_high", "key_low").to_numpy())
            # The header is line 1.
            seen["rows"].append(found["line"].to_numpy() - 2 + before)
            seen["candidates"].append(found["lines"].list.len().to_numpy().astype(np.int32))
            seen["behaviours"].append((lengths[0] + lengths[1]).to_numpy().astype(np.int32))
            named = [found[column].explode().drop_nulls() for column in ("item_id", "exp_item_id", "ipv_item_id")]
            items = np.union1d(items, pl.concat([series.rename("") for series in named]).unique().to_numpy())
            users = np.union1d(users, found["user_id"].unique().hash(seed=0).to_numpy())
            steps = found["exp_pagenum"].list.diff().explode()
            rising, turning = rising + int((steps > 0).sum()), turning + int((steps != 0).sum())
            read += rows
        if read == before:
            raise LogsError(f"Taobao-MCC: {path} has no rows: give complete files")
    whole = {column: np.concatenate(parts) for column, parts in seen.items()}
    return _Survey(**whole, test_row=test_row, items=items, users=len(users), rising=rising, turning=turning)


def _plan(found: _Survey, part: int) -> _Plan:
    """Number the requests by their first rows and divide them into parts of consecutive numbers."""
    order = np.lexsort((found.rows, found.keys[:, 1], found.keys[:, 0]))
    keys, rows = found.keys[order], found.rows[order]
    begins = np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)])
    starts = np.flatnonzero(begins)
    candidates = np.add.reduceat(found.candidates[order].astype(np.int64), starts)
    by_row = np.argsort(rows[starts])
    pieces = -(-candidates // MAX_LIST)[by_row]
    weights = (candidates + found.behaviours[order][starts] * -(-candidates // MAX_LIST))[by_row]
    request_of, part_of = np.empty(len(starts), np.int64), np.empty(len(starts), np.int32)
    request_of[by_row] = np.cumsum(pieces) - pieces
    # A request that is larger than a part skips part numbers, so the parts are numbered again.
    used, in_order = np.unique((np.cumsum(weights) - weights) // part, return_inverse=True)
    part_of[by_row] = in_order
    group = np.cumsum(begins) - 1
    request, number = np.empty(len(order), np.int64), np.empty(len(order), np.int32)
    request[order], number[order] = request_of[group], part_of[group]
    return _Plan(request, number, len(used), int(request[found.rows >= found.test_row].min()))


def _numbered(folder: Path, number: int) -> Path:
    """Create `folder` and return the path of a numbered table in it. Tables are read in the order of their numbers."""
    folder.mkdir(exist_ok=True)
    return folder / f"{number:012}.arrow"


def _tables(folder: Path) -> Iterator[pl.DataFrame]:
    return (pl.read_ipc(file) for file in sorted(folder.iterdir()))


def _partition(work: Path, plan: _Plan) -> None:
    """Partition the written rows by part. Each part gets a folder."""
    begin = 0
    for found in _tables(work / "contexts"):
        end = begin + len(found)
        named = found.drop("key_high", "key_low").with_columns(
            request=pl.Series(plan.request[begin:end]), part=pl.Series(plan.part[begin:end])
        )
        for rows in named.partition_by("part", maintain_order=True):
            file = _numbered(work / f"part-{rows['part'][0]}", begin)
            rows.drop("part").write_ipc(file, compression="lz4")
        begin = end
    shutil.rmtree(work / "contexts")


def _part(found: pl.DataFrame, latest: Latest) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the requests and events of a part. Its rows are in the order of reading."""
    listed = found.select("request", *CANDIDATES).explode(CANDIDATES).sort("request", "pagenum", "pos", "lines")
    listed = listed.with_columns(piece=pl.int_range(pl.len()).over("request") // MAX_LIST)
    requests = (
        listed.group_by("request", "piece", maintain_order=True)
        .agg(pl.col("item_id", "clicked", *PLACE, "score"))
        .with_columns(request_id=pl.col("request") + pl.col("piece"))
    )
    once = found.unique("request", keep="first", maintain_order=True).drop(CANDIDATES)
    devices = requests.select("request", "request_id").join(once, on="request", maintain_order="left")
    requests = requests.with_columns(devices["user_id"].alias("source_user_id"), *[devices[name] for name in USER])
    return (
        requests.drop("request", "piece").with_columns(
            user_id=pl.col("request_id"),
            time=_time(pl.col("request_id")),
            trigger=pl.lit("page"),
            model_version=pl.lit(None, pl.String),
        ),
        pl.concat(list(_behaviours(devices, latest)), how="diagonal"),
    )


def _behaviours(devices: pl.DataFrame, latest: Latest) -> Iterator[pl.DataFrame]:
    """Yield the events of each kind. Times are one millisecond apart and end one millisecond before the request."""
    counts = {EXPOSURE: "exposure_count", PAGE_VIEW: "view_count"}
    for kind, prefix in PREFIXES.items():
        lists = [pl.col(f"{prefix}_{name}").alias(name) for name in (*PLACE, "item_id")]
        if latest == "first":
            lists = [values.list.reverse() for values in lists]
        rows = devices.select("request_id", *lists).filter(pl.col("item_id").list.len() > 0)
        rows = rows.explode(*PLACE, "item_id")
        until = pl.len().over("request_id") - pl.int_range(pl.len()).over("request_id")
        yield rows.select(
            "item_id",
            *PLACE,
            user_id="request_id",
            time=_time(pl.col("request_id")) - until.cast(pl.Int64),
            kind=pl.lit(kind.name),
            score=pl.lit(None, pl.Float32),
            **{counts[kind]: pl.col("item_id").cum_count().over("request_id", "item_id").cast(pl.Int32)},
        )


def _time(request: Any) -> Any:
    """Return the time of a request in milliseconds since 1970. `request` is its number or an expression for it."""
    return FIRST_TIME_MS + STEP_MS * request


def _items(ids: NDArray[np.int32]) -> pl.DataFrame:
    base = MAX_ATTRIBUTE + 1
    columns = {"item_id": ids.astype(np.int64), "item": ids.astype(np.int64)}
    for digit, name in enumerate(reversed(ATTRIBUTES)):
        columns[name] = ids // base**digit % base
    return pl.DataFrame(columns)
