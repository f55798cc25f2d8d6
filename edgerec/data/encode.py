"""Encoding: a partition of logs -> a shard of samples, with what was known at each request's instant and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import LogsError
from edgerec.core.hashing import sha256_file
from edgerec.data.catalogue import ItemIndex
from edgerec.data.columns import encode_series
from edgerec.data.log_checks import check_events, check_requests
from edgerec.data.log_order import sort_events, sort_requests
from edgerec.data.partition import Partition
from edgerec.data.parts import Parts
from edgerec.data.schema import CLICKED, ITEM_ID, KIND, PAGE_ID, REQUEST_ID, TIME, USER_ID, event_features
from edgerec.data.segments import read_segments
from edgerec.data.shard_files import (
    FILES,
    NOT_EXPOSED,
    SPLITS,
    ShardEntry,
    SplitCounts,
    shard_file,
    split_counts,
)
from edgerec.data.shard_writer import write_behaviours, write_requests
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin


@dataclass(frozen=True)
class Encoding:
    """How all partitions are encoded.

    Attributes:
        spec: with every mean and scale.
        events: the table of behaviours.
        requests: the table of requests.
        limits: behaviours beyond them fall off at the old end, a longer list is an error.
        validation_from: milliseconds since 1970 at which the training period ends.
        test_from: at which the validation period ends.
    """

    spec: FeatureSpec
    events: Parts
    requests: Parts
    limits: Limits
    validation_from: int
    test_from: int


@dataclass(frozen=True)
class WrittenShard:
    """A shard that was written.

    Attributes:
        entry: of the shard.
        users: with a request.
    """

    entry: ShardEntry
    users: int


@dataclass(frozen=True)
class Instants:
    """Whose each behaviour or request is (n,), and when (n,)."""

    user: NDArray[np.int64]
    time: NDArray[np.int64]


def encode(partition: Partition, how: Encoding, *, items: ItemIndex, folder: Path) -> WrittenShard:
    """Write the shard of `partition` into `folder`, which is made.

    Raises:
        LogsError: a file cannot be read, a table breaks its schema, or a list is longer than the limit.
        SpecificationError: a value that its feature cannot read.
        OutputError: the disk is full.
    """
    folder.mkdir(exist_ok=True)
    known = _encode_events(read_segments(how.events, partition.events), how, items, folder)
    # Passed on at once, so that nothing here holds the tables any longer than they are needed.
    users, splits = _encode_requests(read_segments(how.requests, partition.requests), known, how, items, folder)
    entry = ShardEntry(
        name=folder.name,
        **{kind.plural: len(instants.user) for kind, instants in known.items()},
        splits=splits,
        files={name: sha256_file(shard_file(folder, name)) for name in FILES},
    )
    return WrittenShard(entry, users)


def _encode_events(
    events: pl.DataFrame, how: Encoding, items: ItemIndex, folder: Path
) -> dict[BehaviourKind, Instants]:
    """Write the behaviours of each kind; return their users and times."""
    served = of_origin(how.spec.item, "served")
    events = sort_events(check_events(events, event_features(how.spec), items))
    known: dict[BehaviourKind, Instants] = {}
    for kind in BEHAVIOUR_KINDS:
        actions = how.spec.actions(kind)
        columns = dict.fromkeys([USER_ID, TIME, ITEM_ID, *_sources((*actions, *served))])
        rows = events.lazy().filter(pl.col(KIND) == kind.name).select(list(columns)).collect()
        write_behaviours(
            shard_file(folder, kind.plural),
            time=rows[TIME].to_numpy(),
            item=items.rows(rows[ITEM_ID].to_numpy()),
            action=_encode(rows, actions),
            served=_encode(rows, served),
        )
        known[kind] = Instants(rows[USER_ID].to_numpy(), rows[TIME].to_numpy())
    return known


def _encode_requests(
    requests: pl.DataFrame, known: Mapping[BehaviourKind, Instants], how: Encoding, items: ItemIndex, folder: Path
) -> tuple[int, dict[str, SplitCounts]]:
    """Write the requests of each split; returns the number of their users, and what is in each split."""
    served = of_origin(how.spec.item, "served")
    # Whether lists may repeat an item was looked at when they were counted.
    requests = check_requests(requests, served, items, repeated_items=True)
    _check_lengths(requests, how.limits)
    # What is of no known page is of its own.
    paged = PAGE_ID if PAGE_ID in requests.columns else REQUEST_ID
    columns = dict.fromkeys([REQUEST_ID, USER_ID, TIME, paged, ITEM_ID, CLICKED, *_sources(served)])
    requests = sort_requests(requests.select(list(columns)))
    request_id = requests[REQUEST_ID].to_numpy()
    page = requests[paged].to_numpy()
    asked = Instants(requests[USER_ID].to_numpy(), requests[TIME].to_numpy())
    lengths = requests[ITEM_ID].list.len().to_numpy().astype(np.int64)
    label = requests[CLICKED].explode().cast(pl.UInt8).fill_null(NOT_EXPOSED).to_numpy()
    item = items.rows(requests[ITEM_ID].explode().to_numpy())
    encoded = _encode(requests.select(pl.col(_sources(served)).explode()), served) if served else {}
    # The lists as they were logged take several times what is written of them.
    del requests
    bounds = [0, *np.searchsorted(asked.time, [how.validation_from, how.test_from]).tolist(), len(asked.time)]
    splits = {split: slice(*bounds[place : place + 2]) for place, split in enumerate(SPLITS)}
    write_requests(
        [(shard_file(folder, split), rows) for split, rows in splits.items()],
        request_id=request_id,
        time=asked.time,
        user=asked.user,
        page=page,
        known={kind: known_before(asked, known[kind], how.limits.of(kind)) for kind in BEHAVIOUR_KINDS},
        lengths=lengths,
        item=item,
        label=label,
        served=encoded,
    )
    starts = np.concatenate([[0], np.cumsum(lengths)])
    counts = {
        split: split_counts(asked.user[rows], page[rows], label[starts[rows.start] : starts[rows.stop]])
        for split, rows in splits.items()
    }
    return len(np.unique(asked.user)), counts


def known_before(asked: Instants, known: Instants, most: int) -> NDArray[np.int64]:
    """Ranges (r, 3) of each request's behaviours: the latest `most` of its user with a time strictly before its own.

    Strictly: at one instant nothing says that the device had encoded the behaviour before it was asked.

    Columns are where recurrences start, the first of the latest, one past the last. Recurrences start from zeros at
    each `most`-th behaviour of a user, at the last such place that is not within the range: so requests that follow
    each other start together and share what is computed, and what is learnt from has states that have run on for up to
    `most` behaviours, as they do on a device.

    Args:
        asked: (r,), of the requests, in any order.
        known: (n,), of the behaviours, in order of user and time.
        most: as many at most.
    """
    if not len(known.user) or not len(asked.user):
        return np.zeros((len(asked.user), 3), np.int64)
    new = np.concatenate([[True], known.user[1:] != known.user[:-1]])
    starts = np.flatnonzero(new)
    users = known.user[starts]
    place = np.minimum(np.searchsorted(users, asked.user), len(users) - 1)
    there = users[place] == asked.user
    now, then = asked.time, known.time
    first, last = min(now.min(), then.min()), max(now.max(), then.max())
    if (int(last) - int(first) + 1) * len(users) >= 2**63:
        # Ranks keep the order, and are few.
        every = np.unique(np.concatenate([now, then]))
        now, then = np.searchsorted(every, now), np.searchsorted(every, then)
        first, last = np.int64(0), np.int64(len(every) - 1)
    span = last - first + 1
    # One number for user and time, so that one search finds all.
    keys = (np.cumsum(new) - 1) * span + (then - first)
    end = np.searchsorted(keys, place * span + (now - first))
    begin = np.maximum(starts[place], end - most)
    start = begin - (begin - starts[place]) % most
    return np.where(there[:, None], np.stack([start, begin, end], axis=1), 0)


def _encode(rows: pl.DataFrame, features: Iterable[Feature]) -> dict[str, NDArray[Any]]:
    return {feature.name: encode_series(feature, rows[feature.source]) for feature in features}


def _sources(features: Iterable[Feature]) -> list[str]:
    return list(dict.fromkeys(feature.source for feature in features))


def _check_lengths(requests: pl.DataFrame, limits: Limits) -> None:
    lengths = requests[ITEM_ID].list.len()
    if len(requests) and int(lengths.max() or 0) > limits.candidates:  # type: ignore[arg-type]
        worst = requests.row(int(lengths.arg_max() or 0), named=True)
        raise LogsError(
            f"logs: request {worst[REQUEST_ID]} offers {len(worst[ITEM_ID])} candidates, more than the limit of "
            f"{limits.candidates}: raise --candidates or cut the list"
        )


def to_note(shard: WrittenShard) -> dict[str, Any]:
    """Return the shard as JSON."""
    return {"entry": shard.entry.model_dump(), "users": shard.users}


def from_note(note: Mapping[str, Any]) -> WrittenShard:
    """Return the shard that `to_note` was given."""
    return WrittenShard(ShardEntry.model_validate(note["entry"]), note["users"])
