"""Values of requests that are not in the logs: relations, and the derived part of the context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.catalogue import ItemIndex
from edgerec.data.known import Instants, known_before
from edgerec.data.relation_facts import row_facts
from edgerec.data.schema import ITEM_ID, KIND, TIME, USER_ID
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.context import DERIVED, RequestFacts
from edgerec.features.relations.compute import Candidates, PastBehaviours, compute_relations
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.rule import number_columns
from edgerec.features.spec import FeatureSpec, of_origin

CHUNK = 1_000_000
"""Pairs of request and behaviour that are in memory at a time."""


@dataclass(frozen=True)
class UserBehaviours:
    """The behaviours of one kind of some users, in order of user and time.

    Attributes:
        instants: the user and time of n behaviours.
        facts: the facts of n behaviours.
    """

    instants: Instants
    facts: Facts


@dataclass(frozen=True)
class RequestValues:
    """The values of r requests and their c candidates. NaN stands for a missing value.

    Attributes:
        known: for each kind, the known behaviours (r, 3), as `known_before` returns them.
        relations: the numbers (c,) of each relation, by its source.
        context: the numbers (r,) of the context features of origin `derived`, by their sources.
    """

    known: Mapping[BehaviourKind, NDArray[np.int64]]
    relations: Mapping[str, NDArray[np.float64]]
    context: Mapping[str, NDArray[np.float64]]


def behaviours_by_kind(
    events: pl.DataFrame, items: ItemIndex, catalogue: Facts, spec: FeatureSpec
) -> dict[BehaviourKind, UserBehaviours]:
    """Return the behaviours of each kind. `events` are sorted by user and time."""
    behaviours = {}
    names = dict.fromkeys((USER_ID, TIME, ITEM_ID, *number_columns(spec.rules.values())))
    columns = [name for name in names if name in events.columns]
    for kind in BEHAVIOUR_KINDS:
        rows = events.lazy().filter(pl.col(KIND) == kind.name).select(columns).collect()
        facts = row_facts(rows, items.rows(rows[ITEM_ID].to_numpy()), catalogue, spec)
        behaviours[kind] = UserBehaviours(instants_of(rows), facts)
    return behaviours


def instants_of(table: pl.DataFrame) -> Instants:
    """Return the user and the time of each row of events or requests."""
    return Instants(table[USER_ID].to_numpy(), table[TIME].to_numpy())


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
        requests: the user and time of each request.
        lengths: (r,) the number of candidates of each request.
        candidates: the facts of the candidates, one request after the other.
        behaviours: the behaviours of each kind.
    """
    known = {kind: known_before(requests, behaviours[kind].instants, limits.of(kind)) for kind in BEHAVIOUR_KINDS}
    past = {
        kind: PastBehaviours(behaviours[kind].facts, behaviours[kind].instants.time, ranges[:, 1:])
        for kind, ranges in known.items()
    }
    facts = _request_facts(requests.time, lengths, past)
    return RequestValues(
        known=known,
        relations=_relations(spec, candidates, lengths, requests.time, past) if spec.relations else {},
        context={feature.source: DERIVED[feature.source](facts) for feature in of_origin(spec.context, "derived")},
    )


def _request_facts(
    time: NDArray[np.int64], lengths: NDArray[np.int64], past: Mapping[BehaviourKind, PastBehaviours]
) -> RequestFacts:
    counts, latest = {}, {}
    for kind, behaviours in past.items():
        begin, end = behaviours.ranges.T
        counts[kind] = end - begin
        times = behaviours.time
        latest[kind] = times[np.maximum(end - 1, 0)] if len(times) else np.zeros(len(time), np.int64)
    return RequestFacts(time, lengths, counts, latest)


def _relations(
    spec: FeatureSpec,
    candidates: Facts,
    lengths: NDArray[np.int64],
    time: NDArray[np.int64],
    past: Mapping[BehaviourKind, PastBehaviours],
) -> dict[str, NDArray[np.float64]]:
    """Return the numbers (c,) of each relation, by its source."""
    values = {source: np.empty(len(candidates)) for source in spec.rules}
    starts = np.concatenate([[0], np.cumsum(lengths)])
    pairs = sum((np.diff(behaviours.ranges, axis=1)[:, 0] for behaviours in past.values()), lengths)
    for rows in _chunks(pairs):
        some = slice(starts[rows.start], starts[rows.stop])
        ranges = {kind: PastBehaviours(one.facts, one.time, one.ranges[rows]) for kind, one in past.items()}
        request = np.repeat(np.arange(rows.stop - rows.start), lengths[rows])
        found = compute_relations(tuple(spec.rules.values()), Candidates(candidates[some], request, time[rows]), ranges)
        for numbers, each in zip(values.values(), found, strict=True):
            numbers[some] = each
    return values


def _chunks(pairs: NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices of requests with about `CHUNK` pairs each."""
    total = np.cumsum(pairs)
    start = 0
    while start < len(pairs):
        before = int(total[start - 1]) if start else 0
        stop = max(int(np.searchsorted(total, before + CHUNK, side="right")), start + 1)
        yield slice(start, stop)
        start = stop
