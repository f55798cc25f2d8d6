"""Shards: the samples of some users, as they stand on disk (docs/formats.md) and in memory.

A user's behaviours are encoded once and stored once, in order of time; a request names the range that was known to the
device at its instant. So a behaviour that a hundred requests look back on costs its bytes once, and a batch is a
gather.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from edgerec.core.errors import FormatError, IntegrityError, first_line
from edgerec.core.hashing import sha256_bytes
from edgerec.data.item_table import ItemTable, check_range
from edgerec.data.parts import POLARS_FAULTS
from edgerec.features.behaviours import Limits
from edgerec.features.encoded import FIELDS, Encoded
from edgerec.features.encoder import GroupEncoder
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin

EXPOSURES, PAGE_VIEWS = "exposures", "page_views"
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
FILES = (EXPOSURES, PAGE_VIEWS, *SPLITS)
NOT_EXPOSED = 255
"""The label of a candidate that was on offer and never shown: context, out of the loss."""


class SplitCounts(BaseModel):
    """Size of a split: requests, the pages they are of, candidates that were exposed, clicks on them."""

    requests: int
    pages: int
    exposures: int
    clicks: int


class ShardEntry(BaseModel):
    """What `samples.json` says of a shard."""

    name: Annotated[str, Field(pattern=r"^\d+$")]
    """Of its folder."""
    exposures: int
    """How many its users have."""
    page_views: int
    splits: dict[str, SplitCounts]
    files: dict[str, str]
    """SHA-256 of each file, by its name without the ending. Damaged Parquet can end the whole process that decodes it,
    so nothing is decoded that is not what was written."""


def shard_file(folder: Path, name: str) -> Path:
    """Where a shard has the behaviours of a kind, or the requests of a split."""
    return folder / f"{name}.parquet"


@dataclass(frozen=True)
class Behaviours:
    """Behaviours of one kind, in order of user and time.

    Attributes:
        time: (n,) int64, milliseconds since 1970.
        row: (n,) int32, the item's place in the catalogue.
        action: what the user did (n rows).
        item: what it was done to (n rows).
    """

    time: NDArray[np.int64]
    row: NDArray[np.int32]
    action: Encoded
    item: Encoded

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class Requests:
    """Requests of a split in order of time, user and request_id.

    Attributes:
        request_id: (r,) int64.
        time: (r,) int64, milliseconds since 1970.
        user: (r,) int64, who asked.
        page: (r,) int64, the user's page on which the candidates stood. Requests of one page share labels.
        exposures: (r, 2) int64, first and one past the last known exposure among the shard's behaviours.
        exposures_start: (r,) int64, at which of them, at or before the first, recurrences begin from zeros.
        page_views: (r, 2) int64, as `exposures`, for page-views.
        page_views_start: (r,) int64, as `exposures_start`.
        offsets: (r + 1,) int64, where each request's candidates begin.
        row: (candidates,) int32, their places in the catalogue.
        item: the candidates, as encoded when they were served.
        label: (candidates,) uint8: 1 clicked, 0 exposed without click, `NOT_EXPOSED`.
    """

    request_id: NDArray[np.int64]
    time: NDArray[np.int64]
    user: NDArray[np.int64]
    page: NDArray[np.int64]
    exposures: NDArray[np.int64]
    exposures_start: NDArray[np.int64]
    page_views: NDArray[np.int64]
    page_views_start: NDArray[np.int64]
    offsets: NDArray[np.int64]
    row: NDArray[np.int32]
    item: Encoded
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.request_id)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(r,) number of candidates of each request."""
        return np.diff(self.offsets)

    def counts(self) -> SplitCounts:
        return split_counts(self.user, self.page, self.label)


def split_counts(user: NDArray[np.int64], page: NDArray[np.int64], label: NDArray[np.uint8]) -> SplitCounts:
    """Counts of requests (r,) with candidates (candidates,); arguments as in `Requests`."""
    order = np.lexsort((page, user))
    changes = (np.diff(user[order]) != 0) | (np.diff(page[order]) != 0)
    return SplitCounts(
        requests=len(user),
        pages=int(changes.sum()) + bool(len(user)),
        exposures=int((label != NOT_EXPOSED).sum()),
        clicks=int((label == 1).sum()),
    )


@dataclass(frozen=True)
class Shard:
    """Requests of a split, and the behaviours that they look back on.

    Attributes:
        exposures: item exposures (IE).
        page_views: item page-views (IPV).
        requests: of the split.
    """

    exposures: Behaviours
    page_views: Behaviours
    requests: Requests


def join_shards(shards: Sequence[Shard]) -> Shard:
    """Several shards as one, their requests one after the other."""
    if len(shards) == 1:
        return shards[0]
    requests = [shard.requests for shard in shards]
    candidates = _starts([len(part.label) for part in requests])
    exposures, page_views = ([len(getattr(shard, kind)) for shard in shards] for kind in (EXPOSURES, PAGE_VIEWS))
    offsets = [part.offsets[:-1] + start for part, start in zip(requests, candidates, strict=False)]
    return Shard(
        exposures=_join_behaviours([shard.exposures for shard in shards]),
        page_views=_join_behaviours([shard.page_views for shard in shards]),
        requests=Requests(
            request_id=np.concatenate([part.request_id for part in requests]),
            time=np.concatenate([part.time for part in requests]),
            user=np.concatenate([part.user for part in requests]),
            page=np.concatenate([part.page for part in requests]),
            exposures=_shift([part.exposures for part in requests], exposures),
            exposures_start=_shift([part.exposures_start for part in requests], exposures),
            page_views=_shift([part.page_views for part in requests], page_views),
            page_views_start=_shift([part.page_views_start for part in requests], page_views),
            offsets=np.concatenate([*offsets, candidates[-1:]]),
            row=np.concatenate([part.row for part in requests]),
            item=_join_encoded([part.item for part in requests]),
            label=np.concatenate([part.label for part in requests]),
        ),
    )


def _starts(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _shift(ranges: Sequence[NDArray[np.int64]], lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([part + start for part, start in zip(ranges, _starts(lengths), strict=False)])


def _join_behaviours(parts: Sequence[Behaviours]) -> Behaviours:
    return Behaviours(
        time=np.concatenate([part.time for part in parts]),
        row=np.concatenate([part.row for part in parts]),
        action=_join_encoded([part.action for part in parts]),
        item=_join_encoded([part.item for part in parts]),
    )


def _join_encoded(parts: Sequence[Encoded]) -> Encoded:
    return Encoded(**{field: np.concatenate([getattr(part, field) for part in parts]) for field in FIELDS})


@dataclass(frozen=True)
class ShardReader:
    """Reads and checks shards.

    Attributes:
        spec: what their columns mean.
        items: the catalogue.
        limits: the longest sequences.
    """

    spec: FeatureSpec
    items: ItemTable
    limits: Limits

    def read(self, folder: Path, entry: ShardEntry, split: str) -> Shard:
        """One split of the shard in `folder`.

        Raises:
            FormatError: a file is missing or damaged, or is not what `entry` says.
        """
        return Shard(
            exposures=self._behaviours(folder, entry, EXPOSURES, self.spec.ie_action),
            page_views=self._behaviours(folder, entry, PAGE_VIEWS, self.spec.ipv_action),
            requests=self.read_requests(folder, entry, split),
        )

    def _behaviours(self, folder: Path, entry: ShardEntry, kind: str, action: Sequence[Feature]) -> Behaviours:
        path, count = shard_file(folder, kind), getattr(entry, kind)
        schema = {
            "time": pl.Int64(),
            "item": pl.Int32(),
            **_schema("action", action),
            **_schema("served", self._served),
        }
        found = _read(path, schema, entry.files.get(kind))
        if len(found["item"]) != count:
            raise _faulty(path, f"should hold {count} rows; received {len(found['item'])}")
        arrays = {name: column.to_numpy() for name, column in found.items()}
        encoded = Encoded.of_columns(action, [arrays[f"action.{one.name}"] for one in action], count)
        _check_codes(encoded, action, path)
        return Behaviours(arrays["time"], arrays["item"], encoded, self._items(path, arrays))

    def read_requests(self, folder: Path, entry: ShardEntry, split: str) -> Requests:
        """As `read`, without the behaviours."""
        path = shard_file(folder, split)
        lists = {"item": pl.Int32(), "label": pl.UInt8(), **_schema("served", self._served)}
        schema = {**_REQUEST, **{name: pl.List(dtype) for name, dtype in lists.items()}}
        columns = _read(path, schema, entry.files.get(split))
        count = len(columns["request_id"])
        lengths = columns["item"].list.len().to_numpy().astype(np.int64)
        together = all(bool((columns[name].list.len() == columns["item"].list.len()).all()) for name in lists)
        if count and not (together and lengths.min() >= 1 and lengths.max() <= self.limits.candidates):
            raise _faulty(path, "holds lists of candidates that do not fit together")
        flat = {name: columns[name].explode() for name in lists}
        if any(column.null_count() for column in flat.values()):
            raise _faulty(path, "holds lists with empty entries")
        arrays = {name: column.to_numpy() for name, column in flat.items()}
        label = arrays["label"]
        if not bool(((label <= 1) | (label == NOT_EXPOSED)).all()):
            raise _faulty(path, f"should hold labels 0, 1 or {NOT_EXPOSED}")
        ranges = {}
        for name, known in ((EXPOSURES, entry.exposures), (PAGE_VIEWS, entry.page_views)):
            parts = (columns[f"{name}_{part}"].to_numpy().astype(np.int64) for part in ("start", "begin", "count"))
            start, begin, size = parts
            limit = getattr(self.limits, name)
            ranges[name], ranges[f"{name}_start"] = np.stack([begin, begin + size], axis=1), start
            inside = (start >= 0) & (begin - start >= 0) & (begin - start < limit) & (begin + size <= known)
            inside &= (size >= 0) & (size <= limit)
            if not bool(inside.all()):
                raise _faulty(path, f"names {name} that are not there")
        requests = Requests(
            request_id=columns["request_id"].to_numpy(),
            time=columns["time"].to_numpy(),
            user=columns["user"].to_numpy(),
            page=columns["page"].to_numpy(),
            offsets=_starts(lengths),
            row=arrays["item"],
            item=self._items(path, arrays),
            label=label,
            **ranges,
        )
        if requests.counts() != entry.splits[split]:
            raise _faulty(path, f"should hold {entry.splits[split]}; received {requests.counts()}")
        return requests

    @property
    def _served(self) -> tuple[Feature, ...]:
        return of_origin(self.spec.item, "served")

    def _items(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> Encoded:
        check_range(arrays["item"], len(self.items), f"{path}: item")
        served = {feature.name: arrays[f"served.{feature.name}"] for feature in self._served}
        _check_codes(Encoded.of_columns(self._served, served.values(), len(arrays["item"])), self._served, path)
        return self.items.gather(arrays["item"], served)


_REQUEST: dict[str, pl.DataType] = {
    "request_id": pl.Int64(),
    "time": pl.Int64(),
    "user": pl.Int64(),
    "page": pl.Int64(),
    "exposures_start": pl.Int32(),
    "exposures_begin": pl.Int32(),
    "exposures_count": pl.Int16(),
    "page_views_start": pl.Int32(),
    "page_views_begin": pl.Int32(),
    "page_views_count": pl.Int16(),
}
_TYPES = {"codes": pl.UInt8(), "numbers": pl.Float32()}


def _schema(group: str, features: Sequence[Feature]) -> dict[str, pl.DataType]:
    return {f"{group}.{feature.name}": _TYPES[feature.field] for feature in features}


def _read(path: Path, schema: Mapping[str, pl.DataType], digest: str | None) -> dict[str, pl.Series]:
    """The columns of the file `path`, which should be those of `schema` without an empty place.

    Raises:
        FormatError: the file is missing or damaged, or has other columns.
    """
    try:
        content = path.read_bytes()
        if sha256_bytes(content) != digest:
            raise IntegrityError(f"samples: {path} was changed after it was written: make the samples again")
        table = pl.read_parquet(io.BytesIO(content))
    except (*POLARS_FAULTS, ValueError) as error:
        reason = first_line(error)
        raise FormatError(f"samples: {path} cannot be read ({reason}): make the samples again") from None
    if dict(table.schema) != dict(schema):
        odd = {name: dtype for name, dtype in table.schema.items() if schema.get(name) != dtype} or "fewer columns"
        raise _faulty(path, f"should have the columns {', '.join(schema)}; received {odd}")
    if any(column.null_count() for column in table):
        raise _faulty(path, "has empty places")
    return {column.name: column for column in table}


def _check_codes(encoded: Encoded, features: Sequence[Feature], path: Path) -> None:
    sizes = GroupEncoder(features).sizes()
    check_range(encoded.codes, sizes["codes"], str(path))
    check_range(encoded.numbers, None, str(path))


def _faulty(path: Path, fault: str) -> FormatError:
    return FormatError(f"samples: {path} {fault}: make the samples again")
