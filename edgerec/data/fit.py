"""Fit on the training period: vocabularies of embeddings, and bounds, means and scales of raw features.

Partitions are counted one by one. Counts are integers and sums are exact, so the result does not depend on how logs are
divided into files and partitions, nor on the order of counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.arrays import read_members, save_members
from edgerec.data.catalogue import ItemIndex
from edgerec.data.columns import to_array
from edgerec.data.log_checks import check_events, check_requests
from edgerec.data.log_order import sort_events
from edgerec.data.octaves import Octaves, octaves
from edgerec.data.partition import Partition
from edgerec.data.parts import Parts
from edgerec.data.relation_facts import candidate_facts
from edgerec.data.request_values import behaviours_by_kind, instants_of, lengths_of, request_values
from edgerec.data.schema import ITEM_ID, KIND, ORDINAL, REQUEST_ID, STORE_ID, TIME, USER_ID, event_features
from edgerec.data.segments import read_segments
from edgerec.features.behaviours import BEHAVIOUR_KINDS, Limits
from edgerec.features.kinds import Feature
from edgerec.features.kinds.embedding import embeddings
from edgerec.features.relations.facts import Facts
from edgerec.features.spec import CONTEXT, RELATIONS, FeatureSpec, of_origin
from edgerec.features.vocabulary import Vocabulary


@dataclass(frozen=True)
class Counted:
    """What was counted in the part of the training period that one partition contains.

    Attributes:
        candidates: (items,) int64, how often each item of the catalogue was a candidate.
        behaviours: (items,) int64, the number of events of each item.
        octaves: sums of the values of features that are logged with events or requests, by ``group.feature``.
        ids: the different IDs (n,) of each served embedding, and how often each occurred (n,), by the feature's name.
    """

    candidates: NDArray[np.int64]
    behaviours: NDArray[np.int64]
    octaves: Mapping[str, Octaves]
    ids: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]


def to_fit(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Return the features that need statistics of the training period, such as a mean or bounds."""
    return tuple(feature for feature in features if feature.fits_numbers)


def count(
    partition: Partition,
    *,
    spec: FeatureSpec,
    events: Parts,
    requests: Parts,
    items: ItemIndex,
    catalogue: Facts,
    limits: Limits,
    until: int,
    repeated_items: bool = False,
) -> Counted:
    """Count the partition's behaviours and requests before the time `until` (milliseconds since 1970).

    `catalogue` has the facts of all items that relations read. `limits` are those of the samples.
    Unless `repeated_items` is true, an item that occurs twice in a list is an error.

    Raises:
        LogsError: a file cannot be read, or a column that is read breaks the schema.
        SpecificationError: a feature cannot read a value.
    """
    numbers: dict[str, Octaves] = {}
    actions = {kind: to_fit(spec.actions(kind)) for kind in BEHAVIOUR_KINDS}
    tables = embeddings(of_origin(spec.item, "served"))
    features = [*tables, *(feature for group in actions.values() for feature in group)]
    # Relations and the derived context need the behaviours that each request knows.
    derived = bool(to_fit((*of_origin(spec.context, "derived"), *spec.relations)))
    needed: tuple[str, ...] = (TIME, KIND, ITEM_ID)
    if derived:
        owners = [name for name in (STORE_ID, ORDINAL) if name in events.columns]
        features, needed = [*event_features(spec)], (USER_ID, *owners, *needed)
    table = read_segments(events, partition.events, _columns(needed, features))
    table = check_events(table, features, items, columns=needed).filter(pl.col(TIME) < until)
    behaviours = np.bincount(items.rows(table[ITEM_ID].to_numpy()), minlength=len(items.ids))
    for kind, group in actions.items():
        rows = table.filter(pl.col(KIND) == kind.name) if group else table
        for feature in group:
            numbers[f"{kind.group}.{feature.name}"] = octaves(feature.numbers(to_array(rows[feature.source], feature)))
    behaviour_ids = {feature.name: to_array(table[feature.source], feature) for feature in tables}
    known = behaviours_by_kind(sort_events(table), items, catalogue, spec) if derived else {}
    del table

    served, given = of_origin(spec.item, "served"), to_fit(of_origin(spec.context, "request"))
    needed = (REQUEST_ID, TIME, ITEM_ID)
    if derived:
        needed = (USER_ID, *(name for name in (STORE_ID,) if name in requests.columns), *needed)
    else:
        served = (*to_fit(served), *tables)
    table = read_segments(requests, partition.requests, _columns(needed, (*served, *given)))
    table = check_requests(table, (*served, *given), items, columns=needed, repeated_items=repeated_items)
    table = table.filter(pl.col(TIME) < until)
    item = items.rows(table[ITEM_ID].explode().to_numpy())
    for feature in to_fit(served):
        # Served features are fitted to candidates only, because the model scores candidates.
        column = to_array(table[feature.source].explode(), feature)
        numbers[f"item.{feature.name}"] = octaves(feature.numbers(column))
    for feature in given:
        numbers[f"{CONTEXT}.{feature.name}"] = octaves(feature.numbers(to_array(table[feature.source], feature)))
    if derived:
        candidates = candidate_facts(table, item, catalogue, spec)
        values = request_values(spec, limits, instants_of(table), lengths_of(table), candidates, known)
        for name, found in ((CONTEXT, values.context), (RELATIONS, values.relations)):
            for feature in to_fit(spec.groups[name]):
                if feature.source in found:
                    numbers[f"{name}.{feature.name}"] = octaves(feature.numbers(found[feature.source]))
    ids = {}
    for feature in tables:
        listed = to_array(table[feature.source].explode(), feature)
        ids[feature.name] = np.unique(np.concatenate([behaviour_ids[feature.name], listed]), return_counts=True)
    return Counted(np.bincount(item, minlength=len(items.ids)), behaviours, numbers, ids)


def fit(
    spec: FeatureSpec, counted: Iterable[Counted], catalogue: pl.DataFrame
) -> tuple[FeatureSpec, dict[str, Vocabulary]]:
    """Return the specification with all bounds, means and scales, and the vocabularies.

    Args:
        spec: the specification that is fitted.
        counted: the counts of all partitions.
        catalogue: the items, in the same order as in the counts.

    Raises:
        SpecificationError: a feature cannot read a value.
    """
    candidates = np.zeros(len(catalogue), np.int64)
    seen = np.zeros(len(catalogue), np.int64)
    found: dict[str, Octaves] = {}
    served_ids: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {}
    for part in counted:
        candidates += part.candidates
        seen += part.candidates + part.behaviours
        for key, more in part.octaves.items():
            found[key] = found.get(key, Octaves()) + more
        for name, pair in part.ids.items():
            served_ids.setdefault(name, []).append(pair)
    vocabularies: dict[str, Vocabulary] = {}
    groups: dict[str, tuple[Feature, ...]] = {}
    for group, features in spec.groups.items():
        fitted = []
        for feature in features:
            numbers = found.get(f"{group}.{feature.name}", Octaves())
            if feature.has_table:
                if feature.origin == "served":
                    ids, counts = (np.concatenate(part) for part in zip(*served_ids[feature.name], strict=True))
                else:
                    ids, counts = to_array(catalogue[feature.source], feature), seen
                vocabularies[feature.name] = feature.fit_vocabulary(ids, counts)
            elif feature.origin == "catalogue" and feature.fits_numbers:
                numbers = octaves(feature.numbers(to_array(catalogue[feature.source], feature)), candidates)
            fitted.append(feature.fit(numbers))
        groups[group] = tuple(fitted)
    return spec.model_copy(update=groups), vocabularies


def save_counted(counted: Counted, path: Path) -> dict[str, Any]:
    """Write the counts of items to the npz file `path`, and return the octaves as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    seen = np.flatnonzero(counted.candidates + counted.behaviours)
    arrays = {"rows": seen, "candidates": counted.candidates[seen], "behaviours": counted.behaviours[seen]}
    for name, (ids, counts) in counted.ids.items():
        arrays |= {f"ids_{name}": ids, f"counts_{name}": counts}
    save_members(path, arrays, what="samples")
    return {key: part.to_note() for key, part in counted.octaves.items()}


def load_counted(path: Path, found: Mapping[str, Mapping[str, Any]], *, spec: FeatureSpec, items: int) -> Counted:
    """Load the counts that `save_counted` wrote to `path`.

    Args:
        path: the npz file.
        found: what `save_counted` returned. It becomes the `octaves` of the result.
        spec: the specification that was counted for.
        items: number of items in the catalogue.

    Raises:
        FormatError: the file is missing or damaged.
    """
    tables = [feature.name for feature in embeddings(of_origin(spec.item, "served"))]
    names = ["rows", "candidates", "behaviours", *(f"{what}_{name}" for name in tables for what in ("ids", "counts"))]
    stored = read_members(path, names, what="samples", advice="start again with --force")
    candidates, behaviours = np.zeros(items, np.int64), np.zeros(items, np.int64)
    candidates[stored["rows"]], behaviours[stored["rows"]] = stored["candidates"], stored["behaviours"]
    ids = {name: (stored[f"ids_{name}"], stored[f"counts_{name}"]) for name in tables}
    return Counted(candidates, behaviours, {key: Octaves.from_note(note) for key, note in found.items()}, ids)


def _columns(needed: Sequence[str], features: Iterable[Feature]) -> list[str]:
    return list(dict.fromkeys([*needed, *(feature.source for feature in features)]))
