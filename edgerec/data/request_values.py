"""Values of requests that are not in the logs: relations, and the derived part of the context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.catalogue import ItemIndex
from edgerec.data.known import Instants, KnownBehaviours, known_before
from edgerec.data.ordinals import numbers_of
from edgerec.data.relation_facts import row_facts
from edgerec.data.schema import ITEM_ID, KIND, ORDINAL, STORE_ID, TIME, USER_ID
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.context import DERIVED, RequestFacts
from edgerec.features.relations.compute import Relations
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.known import PastBehaviours
from edgerec.features.relations.rule import number_columns
from edgerec.features.spec import FeatureSpec, of_origin

PAIRS = 500_000
"""The largest number of pairs of candidate and known behaviour for which relations are computed at a time."""


@dataclass(frozen=True)
class UserBehaviours:
    """The behaviours of one kind of some users, in order of user, store, time and ordinal.

    Attributes:
        instants: user, store, time and ordinal of n behaviours.
        facts: the facts of n behaviours.
    """

    instants: Instants
    facts: Facts


@dataclass(frozen=True)
class RequestValues:
    """The values of r requests and their c candidates. NaN stands for a missing value.

    Attributes:
        known: for each kind, the known behaviours, as `known_before` returns them.
        relations: the numbers (c,) of each relation, by its source.
        context: the numbers (r,) of the context features of origin `derived`, by their sources.
    """

    known: Mapping[BehaviourKind, KnownBehaviours]
    relations: Mapping[str, NDArray[np.float64]]
    context: Mapping[str, NDArray[np.float64]]


def behaviours_by_kind(
    events: pl.DataFrame, items: ItemIndex, catalogue: Facts, spec: FeatureSpec
) -> dict[BehaviourKind, UserBehaviours]:
    """Return the behaviours of each kind. `events` are sorted by `sort_events`."""
    behaviours = {}
    names = dict.fromkeys((USER_ID, STORE_ID, TIME, ORDINAL, ITEM_ID, *number_columns(spec.rules.values())))
    columns = [name for name in names if name in events.columns]
    for kind in BEHAVIOUR_KINDS:
        rows = events.lazy().filter(pl.col(KIND) == kind.name).select(columns).collect()
        facts = row_facts(rows, items.rows(rows[ITEM_ID].to_numpy()), catalogue, spec)
        behaviours[kind] = UserBehaviours(replace(instants_of(rows), ordinal=numbers_of(rows, ORDINAL)), facts)
    return behaviours


def instants_of(table: pl.DataFrame) -> Instants:
    """Return the instant of each row of events or requests, without ordinals."""
    return Instants(table[USER_ID].to_numpy(), table[TIME].to_numpy(), numbers_of(table, STORE_ID))


def lengths_of(requests: pl.DataFrame) -> NDArray[np.int64]:
    """Return the number of candidates of each request. Shape (r,)."""
    return requests[ITEM_ID].list.len().to_numpy().astype(np.int64)


def request_values(
    spec: FeatureSpec,
    limits: Limits,
    requests: Instants,
    lengths: NDArray[np.int64],
    candidates: Facts,
    behaviours: Mapping[BehaviourKind, UserBehaviours],
) -> RequestValues:
    """Return the values of r requests.

    Args:
        spec: the specification.
        limits: the largest number of known behaviours of each kind.
        requests: the instant of each request.
        lengths: (r,) the number of candidates of each request.
        candidates: the facts of the candidates, one request after the other.
        behaviours: the behaviours of each kind.
    """
    known = {kind: known_before(requests, behaviours[kind].instants, limits.of(kind)) for kind in BEHAVIOUR_KINDS}
    ranges = {kind: each.ranges for kind, each in known.items()}
    facts = _request_facts(requests.time, lengths, ranges, behaviours)
    return RequestValues(
        known=known,
        relations=_relations(spec, requests.time, lengths, candidates, ranges, behaviours) if spec.relations else {},
        context={feature.source: DERIVED[feature.source](facts) for feature in of_origin(spec.context, "derived")},
    )


def _request_facts(
    time: NDArray[np.int64],
    lengths: NDArray[np.int64],
    known: Mapping[BehaviourKind, NDArray[np.int64]],
    behaviours: Mapping[BehaviourKind, UserBehaviours],
) -> RequestFacts:
    counts, latest = {}, {}
    for kind, ranges in known.items():
        _, begin, end = ranges.T
        counts[kind] = end - begin
        times = behaviours[kind].instants.time
        latest[kind] = times[np.maximum(end - 1, 0)] if len(times) else np.zeros(len(time), np.int64)
    return RequestFacts(time, lengths, counts, latest)


def _relations(
    spec: FeatureSpec,
    time: NDArray[np.int64],
    lengths: NDArray[np.int64],
    candidates: Facts,
    known: Mapping[BehaviourKind, NDArray[np.int64]],
    behaviours: Mapping[BehaviourKind, UserBehaviours],
) -> dict[str, NDArray[np.float64]]:
    """Return the numbers (c,) of each relation, by its source."""
    relations = Relations(tuple(spec.rules.values()))
    values = np.empty((len(spec.rules), len(candidates)))
    start = np.cumsum(lengths) - lengths
    ranges = {kind: known[kind][:, 1:] for kind in relations.kinds}
    for rows in _batches(lengths, list(ranges.values())):
        counts = lengths[rows]
        request = np.repeat(np.arange(len(rows)), counts)
        listed = np.arange(len(request)) + (start[rows] - (np.cumsum(counts) - counts))[request]
        past = {kind: _past(behaviours[kind], *each[rows].T) for kind, each in ranges.items()}
        values[:, listed] = relations.compute(candidates[listed], request, past, time[rows])
    return dict(zip(spec.rules, values, strict=True))


def _batches(lengths: NDArray[np.int64], ranges: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of some requests whose behaviours are near each other. A batch has about `PAIRS` pairs."""
    order = np.lexsort([each[:, 1] for each in ranges])
    windows = sum((each[:, 1] - each[:, 0] for each in ranges), np.ones_like(lengths))
    total = np.cumsum((lengths * windows)[order])
    yield from np.split(order, np.flatnonzero(np.diff(total // PAIRS)) + 1) if len(order) else ()


def _past(behaviours: UserBehaviours, begin: NDArray[np.int64], end: NDArray[np.int64]) -> PastBehaviours:
    """Return the behaviours that some requests know: a slice of all behaviours."""
    some = begin < end
    first, last = (int(begin[some].min()), int(end[some].max())) if some.any() else (0, 0)
    rows = slice(first, last)
    begin, end = np.where(some, begin - first, 0), np.where(some, end - first, 0)
    return PastBehaviours(behaviours.facts[rows], behaviours.instants.time[rows], begin, end)
