"""Values of requests that are not in the logs: relations, and the derived part of the context."""

from __future__ import annotations

from collections.abc import Mapping
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
from edgerec.features.relations.compute import PastBehaviours, Relations
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.rule import number_columns
from edgerec.features.spec import FeatureSpec, of_origin


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
    facts = _request_facts(requests.time, lengths, known, behaviours)
    return RequestValues(
        known=known,
        relations=_relations(spec, requests.time, lengths, candidates, known, behaviours) if spec.relations else {},
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
    ends = np.cumsum(lengths).tolist()
    ranges = {kind: known[kind][:, 1:].tolist() for kind in relations.kinds}
    for request, (end, length) in enumerate(zip(ends, lengths.tolist(), strict=True)):
        listed = slice(end - length, end)
        past = {}
        for kind, each in ranges.items():
            window = slice(*each[request])
            past[kind] = PastBehaviours(behaviours[kind].facts[window], behaviours[kind].instants.time[window])
        values[:, listed] = relations.compute(candidates[listed], past, int(time[request]))
    return dict(zip(spec.rules, values, strict=True))
