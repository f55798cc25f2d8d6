"""What the logs say about one store, in order of time: behaviours and requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.catalogue import ItemIndex
from edgerec.data.log_checks import check_events, check_requests
from edgerec.data.log_order import sort_events, sort_requests
from edgerec.data.logs import LogsFolder
from edgerec.data.parts import Parts, cast_part, joined, read_part
from edgerec.data.schema import (
    CLICKED,
    ITEM_ID,
    KIND,
    OFFERED_AT,
    OPENED_FROM,
    ORDINAL,
    PAGE_ID,
    REQUEST_ID,
    STORE_ID,
    TIME,
    TRIGGER,
    USER_ID,
    event_features,
    request_features,
)
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin

Row = dict[str, Any]
KINDS = {kind.name: kind for kind in BEHAVIOUR_KINDS}


@dataclass(frozen=True)
class LoggedBehaviour:
    """A behaviour of the logs, with its raw values.

    Attributes:
        kind: the kind of behaviour.
        time: milliseconds since 1970.
        item_id: the item.
        action: the values of the action by source column.
        served: the values of the item at the request that offered it, by source column.
        ordinal: the number of the behaviour in its store; None if the logs have no ordinals.
        page_id: the page that offered the item; None if it is not logged.
        offered_at: the time of the request that offered the item; None if it is not logged.
        opened_from: where a page was opened from; None for an exposure.
    """

    kind: BehaviourKind
    time: int
    item_id: int
    action: Row
    served: Row
    ordinal: int | None
    page_id: int | None
    offered_at: int | None
    opened_from: str | None


@dataclass(frozen=True)
class LoggedRequest:
    """A request of the logs.

    Attributes:
        request_id: the ID.
        time: milliseconds since 1970.
        trigger: the reason.
        page_id: the page that the candidates belong to. Without pages in the logs, each request is a page of its own.
        item_ids: the candidates in served order.
        clicked: for each candidate 1 (clicked), 0 (exposed) or None.
        served: for each served column, the values of the candidates.
        context: the values of the request by column.
    """

    request_id: int
    time: int
    trigger: str
    page_id: int
    item_ids: tuple[int, ...]
    clicked: tuple[int | None, ...]
    served: dict[str, list[Any]]
    context: Row


Step = LoggedBehaviour | LoggedRequest


@dataclass(frozen=True)
class Timeline:
    """The steps of one store of a user, in order of time.

    A request comes before the behaviours of the same instant, because it does not know them.
    """

    user_id: int
    store_id: int | None
    steps: tuple[Step, ...]


def chosen_users(logs: LogsFolder, *, requests: int | None, seed: int) -> list[int]:
    """Return users in a random order that have `requests` requests together, or all users.

    Raises:
        LogsError: a file cannot be read, or there is no request.
    """
    counts = _read(logs.requests, [USER_ID]).group_by(USER_ID).len().sort(USER_ID)
    if not len(counts):
        raise LogsError("logs: there is no request to replay")
    users, sizes = counts[USER_ID].to_numpy(), counts["len"].to_numpy()
    order = np.random.default_rng(seed).permutation(len(users))
    enough = len(users) if requests is None else int(np.searchsorted(np.cumsum(sizes[order]), requests)) + 1
    return [int(user) for user in users[order[:enough]]]


def timelines(logs: LogsFolder, spec: FeatureSpec, users: Sequence[int]) -> Iterator[Timeline]:
    """Yield the timelines of `users`, one for each store.

    Args:
        logs: the logs.
        spec: the specification that says which columns are read.
        users: the users.

    Raises:
        LogsError: a file cannot be read, or a table breaks its schema.
    """
    items = ItemIndex.of(logs.items[ITEM_ID].to_numpy())
    served, given = of_origin(spec.item, "served"), of_origin(spec.context, "request")
    wanted = pl.Series(USER_ID, users, dtype=pl.Int64)
    # Logs of devices have the page of each event. Samples do not read it, so it is not part of the schema.
    paged = logs.events.schema.get(PAGE_ID) == pl.Int64 and PAGE_ID in logs.requests.columns
    columns = [*logs.events.columns, *([PAGE_ID] if paged else [])]
    events = sort_events(check_events(_read(logs.events, columns, wanted), event_features(spec), items))
    requests = _read(logs.requests, logs.requests.columns, wanted)
    requests = sort_requests(check_requests(requests, request_features(spec), items, repeated_items=False))
    actions = {kind: _sources(spec.actions(kind)) for kind in BEHAVIOUR_KINDS}
    of_owner: dict[tuple[int, int | None], list[tuple[int, int, Step]]] = {}
    for row in requests.iter_rows(named=True):
        step: Step = _request(row, _sources(served), _sources(given))
        of_owner.setdefault((row[USER_ID], row.get(STORE_ID)), []).append((step.time, 0, step))
    for row in events.iter_rows(named=True):
        step = _behaviour(row, actions, _sources(served))
        of_owner.setdefault((row[USER_ID], row.get(STORE_ID)), []).append((step.time, 1, step))
    for (user, store), steps in of_owner.items():
        steps.sort(key=lambda step: step[:2])
        yield Timeline(user, store, tuple(step for _, _, step in steps))


def _request(row: Row, served: Iterable[str], given: Iterable[str]) -> LoggedRequest:
    return LoggedRequest(
        request_id=row[REQUEST_ID],
        time=row[TIME],
        trigger=row[TRIGGER],
        page_id=row[PAGE_ID if PAGE_ID in row else REQUEST_ID],
        item_ids=tuple(row[ITEM_ID]),
        clicked=tuple(row[CLICKED]),
        served={name: row[name] for name in served},
        context={name: row[name] for name in given},
    )


def _behaviour(row: Row, actions: dict[BehaviourKind, list[str]], served: Iterable[str]) -> LoggedBehaviour:
    kind = KINDS[row[KIND]]
    return LoggedBehaviour(
        kind=kind,
        time=row[TIME],
        item_id=row[ITEM_ID],
        action={name: row[name] for name in actions[kind]},
        served={name: row[name] for name in served},
        ordinal=row.get(ORDINAL),
        page_id=row.get(PAGE_ID),
        offered_at=row.get(OFFERED_AT),
        opened_from=row.get(OPENED_FROM),
    )


def _sources(features: Iterable[Feature]) -> list[str]:
    return list(dict.fromkeys(feature.source for feature in features))


def _read(parts: Parts, columns: Sequence[str], users: pl.Series | None = None) -> pl.DataFrame:
    """Return the rows of `users`, file by file, so that only the rows of these users stay in memory."""
    schema = pl.Schema({name: parts.schema[name] for name in columns})
    frames = []
    for file in parts.files:
        rows = read_part(file, columns)
        if users is not None:
            rows = rows.filter(pl.col(USER_ID).is_in(users.implode()))
        frames.append(cast_part(parts, rows, file))
    return joined(schema, frames)
