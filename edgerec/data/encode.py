"""Encode a partition of logs as a shard of samples. A request refers only to earlier behaviours."""

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
from edgerec.data.relation_facts import candidate_facts
from edgerec.data.request_values import (
    UserBehaviours,
    behaviours_by_kind,
    instants_of,
    lengths_of,
    request_values,
)
from edgerec.data.schema import CLICKED, ITEM_ID, KIND, PAGE_ID, REQUEST_ID, STORE_ID, TIME, USER_ID, event_features
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
from edgerec.features.relations.facts import Facts
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import Vocabulary


@dataclass(frozen=True)
class Encoding:
    """The settings with which all partitions are encoded.

    Attributes:
        spec: the fitted specification, with all means and scales.
        events: the table of behaviours.
        requests: the table of requests.
        limits: the largest lengths. If a user has more behaviours, the latest ones are kept. A request with more
            candidates is an error.
        validation_from: end of the training period in milliseconds since 1970.
        test_from: end of the validation period in milliseconds since 1970.
        vocabularies: the vocabulary of each served embedding, by the feature's name.
        repeated_items: whether a list may contain an item several times. It is also true if that was checked before.
    """

    spec: FeatureSpec
    events: Parts
    requests: Parts
    limits: Limits
    validation_from: int
    test_from: int
    vocabularies: Mapping[str, Vocabulary]
    repeated_items: bool


@dataclass(frozen=True)
class WrittenShard:
    """What `encode` returns about the shard that it wrote.

    Attributes:
        entry: the shard's entry in `samples.json`.
        users: number of users with a request.
        with_gaps: number of requests for which behaviours are missing that their recurrences would read.
    """

    entry: ShardEntry
    users: int
    with_gaps: int


def encode(partition: Partition, how: Encoding, *, items: ItemIndex, catalogue: Facts, folder: Path) -> WrittenShard:
    """Write the shard of `partition` to `folder`. The folder is created.

    `catalogue` has the facts of all items that relations read.

    Raises:
        LogsError: a file cannot be read, a table breaks its schema, or a list is longer than the limit.
        SpecificationError: a feature cannot read a value.
        OutputError: the disk is full.
    """
    folder.mkdir(exist_ok=True)
    behaviours = _encode_events(read_segments(how.events, partition.events), how, items, catalogue, folder)
    requests = read_segments(how.requests, partition.requests)
    users, with_gaps, splits = _encode_requests(requests, behaviours, how, items, catalogue, folder)
    entry = ShardEntry(
        name=folder.name,
        **{kind.plural: len(one.facts) for kind, one in behaviours.items()},
        splits=splits,
        files={name: sha256_file(shard_file(folder, name)) for name in FILES},
    )
    return WrittenShard(entry, users, with_gaps)


def _encode_events(
    events: pl.DataFrame, how: Encoding, items: ItemIndex, catalogue: Facts, folder: Path
) -> dict[BehaviourKind, UserBehaviours]:
    """Write the behaviours of each kind, and return what requests read of them."""
    served = of_origin(how.spec.item, "served")
    events = sort_events(check_events(events, event_features(how.spec), items))
    for kind in BEHAVIOUR_KINDS:
        actions = how.spec.actions(kind)
        columns = dict.fromkeys([TIME, ITEM_ID, *_sources((*actions, *served))])
        rows = events.lazy().filter(pl.col(KIND) == kind.name).select(list(columns)).collect()
        write_behaviours(
            shard_file(folder, kind.plural),
            time=rows[TIME].to_numpy(),
            item=items.rows(rows[ITEM_ID].to_numpy()),
            action=_encode(rows, actions, {}),
            served=_encode(rows, served, how.vocabularies),
        )
    return behaviours_by_kind(events, items, catalogue, how.spec)


def _encode_requests(
    requests: pl.DataFrame,
    behaviours: Mapping[BehaviourKind, UserBehaviours],
    how: Encoding,
    items: ItemIndex,
    catalogue: Facts,
    folder: Path,
) -> tuple[int, int, dict[str, SplitCounts]]:
    """Write the requests of each split.

    Returns:
        The number of users with a request, the number of requests with gaps, and the counts of each split.
    """
    served = of_origin(how.spec.item, "served")
    given = of_origin(how.spec.context, "request")
    requests = check_requests(requests, (*served, *given), items, repeated_items=how.repeated_items)
    _check_lengths(requests, how.limits)
    # Without page IDs, each request is a page of its own.
    paged = PAGE_ID if PAGE_ID in requests.columns else REQUEST_ID
    store = [STORE_ID] if STORE_ID in requests.columns else []
    columns = dict.fromkeys([REQUEST_ID, USER_ID, *store, TIME, paged, ITEM_ID, CLICKED, *_sources((*served, *given))])
    requests = sort_requests(requests.select(list(columns)))
    request_id = requests[REQUEST_ID].to_numpy()
    page = requests[paged].to_numpy()
    instants, lengths = instants_of(requests), lengths_of(requests)
    label = requests[CLICKED].explode().cast(pl.UInt8).fill_null(NOT_EXPOSED).to_numpy()
    item = items.rows(requests[ITEM_ID].explode().to_numpy())
    candidates = candidate_facts(requests, item, catalogue, how.spec)
    values = request_values(how.spec, how.limits, instants, lengths, candidates, behaviours)
    lists = requests.select(pl.col(_sources(served)).explode()) if served else pl.DataFrame()
    encoded = _encode(lists, served, how.vocabularies)
    context = _encode(requests, given, {}) | _encode_numbers(values.context, of_origin(how.spec.context, "derived"))
    # Free the logged lists. They take several times as much memory as the arrays that are written.
    del requests, lists
    bounds = [0, *np.searchsorted(instants.time, [how.validation_from, how.test_from]).tolist(), len(instants.time)]
    splits = {split: slice(*bounds[index : index + 2]) for index, split in enumerate(SPLITS)}
    write_requests(
        [(shard_file(folder, split), rows) for split, rows in splits.items()],
        request_id=request_id,
        time=instants.time,
        user=instants.user,
        page=page,
        known={kind: known.ranges for kind, known in values.known.items()},
        lengths=lengths,
        item=item,
        label=label,
        served=encoded,
        relations=_encode_numbers(values.relations, how.spec.relations),
        context=context,
    )
    starts = np.concatenate([[0], np.cumsum(lengths)])
    counts = {
        split: split_counts(instants.user[rows], page[rows], label[starts[rows.start] : starts[rows.stop]])
        for split, rows in splits.items()
    }
    gaps = np.any([known.gaps for known in values.known.values()], axis=0)
    return len(np.unique(instants.user)), int(gaps.sum()), counts


def _encode(
    rows: pl.DataFrame, features: Iterable[Feature], vocabularies: Mapping[str, Vocabulary]
) -> dict[str, NDArray[Any]]:
    return {one.name: encode_series(one, rows[one.source], vocabularies.get(one.name)) for one in features}


def _encode_numbers(values: Mapping[str, NDArray[np.float64]], features: Iterable[Feature]) -> dict[str, NDArray[Any]]:
    """Return the encoded column of each feature by name. `values` has the numbers by source."""
    return {feature.name: feature.encode(values[feature.source]) for feature in features}


def _sources(features: Iterable[Feature]) -> list[str]:
    return list(dict.fromkeys(feature.source for feature in features))


def _check_lengths(requests: pl.DataFrame, limits: Limits) -> None:
    lengths = requests[ITEM_ID].list.len()
    if len(requests) and int(lengths.max() or 0) > limits.candidates:  # type: ignore[arg-type]
        longest = requests.row(int(lengths.arg_max() or 0), named=True)
        raise LogsError(
            f"logs: request {longest[REQUEST_ID]} offers {len(longest[ITEM_ID])} candidates, more than the limit of "
            f"{limits.candidates}: raise --candidates or shorten the list"
        )


def to_note(shard: WrittenShard) -> dict[str, Any]:
    """Return `shard` as data for JSON."""
    return {"entry": shard.entry.model_dump(), "users": shard.users, "with_gaps": shard.with_gaps}


def from_note(note: Mapping[str, Any]) -> WrittenShard:
    """Return the shard from the data that `to_note` made."""
    return WrittenShard(ShardEntry.model_validate(note["entry"]), note["users"], note["with_gaps"])
