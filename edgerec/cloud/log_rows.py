"""Typed tables of the log rows that devices send (docs/formats.md, "Logs")."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from edgerec.cloud.journal import Sent
from edgerec.core.errors import InputError, LogsError
from edgerec.data.catalogue import ItemIndex
from edgerec.data.columns import TYPES
from edgerec.data.log_checks import check_events, check_requests, check_unique
from edgerec.data.log_order import sort_events
from edgerec.data.schema import (
    EVENTS,
    ITEM_ID,
    KIND,
    OPTIONAL,
    ORDINAL,
    PAGE_ID,
    REQUEST_ID,
    REQUESTS,
    REQUIRED,
    STORE_ID,
    TIME,
    TRIGGER,
    USER_ID,
    table_features,
)
from edgerec.features.as_of import declared
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec
from edgerec.paging.log_rows import LogBatch, Row

POSITIONS, SCORES, OUTCOME = "positions", "scores", "outcome"
PROPENSITIES, EXPLORED_AMONG, PERSONAL = "propensities", "explored_among", "personal"
MAX_TRIGGER = 100
"""Maximum number of characters of a request's trigger."""
ANSWER: dict[str, pl.DataType] = {
    "exposures_end": pl.Int64(),
    "page_views_end": pl.Int64(),
    POSITIONS: pl.List(pl.Int64()),
    SCORES: pl.List(pl.Float64()),
    OUTCOME: pl.String(),
    "duration_ms": pl.Float64(),
    PROPENSITIES: pl.List(pl.Float64()),
    EXPLORED_AMONG: pl.Int64(),
    PERSONAL: pl.Boolean(),
}
"""What a request of a device has beside the columns of the logs: the next ordinals when it was made, and the answer."""
ADDED = frozenset((PROPENSITIES, EXPLORED_AMONG, PERSONAL))
"""The columns that were added later. Files without them are of an earlier version."""


class WrongRowsError(InputError):
    """A device sent rows that do not follow the schema of the logs."""


class Marks(NamedTuple):
    """Ordinal and time of the first and of the last event of a kind. An ordinal that is missing is -1."""

    first: int
    begin: int
    last: int
    end: int


@dataclass(frozen=True)
class CheckedRows:
    """The rows of batches of different stores whose items the catalogue has.

    Attributes:
        events: in order of user, store, time and ordinal.
        requests: in the order of the batches.
    """

    events: pl.DataFrame
    requests: pl.DataFrame

    def marks(self) -> dict[int, dict[str, Marks]]:
        """Return the first and the last event of each kind, by store."""
        found: dict[int, dict[str, Marks]] = {}
        stores, times = self.events[STORE_ID].to_numpy(), self.events[TIME].to_numpy()
        ordinals = self.events[ORDINAL].fill_null(-1).to_numpy()
        for kind in BEHAVIOUR_KINDS:
            rows = np.flatnonzero((self.events[KIND] == kind.name).to_numpy())
            starts = np.flatnonzero(np.diff(stores[rows], prepend=-1)).tolist()
            for start, end in zip(starts, [*starts[1:], len(rows)], strict=False):
                first, last = rows[start], rows[end - 1]
                marks = (ordinals[first], times[first], ordinals[last], times[last])
                found.setdefault(int(stores[first]), {})[kind.name] = Marks(*(int(mark) for mark in marks))
        return found

    def of_stores(self, stores: Collection[int]) -> CheckedRows:
        """Return the rows of some stores."""
        chosen = pl.col(STORE_ID).is_in(list(stores))
        return CheckedRows(self.events.filter(chosen), self.requests.filter(chosen))

    def counts(self) -> dict[int, int]:
        """Return the number of rows of each store."""
        stores = np.concatenate([table[STORE_ID].to_numpy() for table in (self.events, self.requests)])
        return dict(zip(*(each.tolist() for each in np.unique(stores, return_counts=True)), strict=True))


class LogTables:
    """Makes typed tables of the rows that devices send. All tables have the same columns.

    Args:
        specs: the specifications of all versions that devices run.
        item_ids: (items,) int64, the items of the catalogue, ascending.
        schemas: the columns and types of both tables; default: those that the specifications need.
    """

    def __init__(
        self, specs: Sequence[FeatureSpec], item_ids: Any, *, schemas: Mapping[str, pl.Schema] | None = None
    ) -> None:
        self.specs = tuple(specs)
        self.schemas = schemas or {name: _schema(name, specs) for name in (EVENTS, REQUESTS)}
        self._features: dict[str, dict[str, Feature]] = {
            name: {feature.source: feature for spec in specs for feature in table_features(name, spec)}
            for name in (EVENTS, REQUESTS)
        }
        self._item_ids, self._index = item_ids, ItemIndex.of(item_ids)

    def admitting(self, spec: FeatureSpec) -> LogTables:
        """Return the tables of one more specification, which needs no other columns. Their columns keep their order."""
        return LogTables([*self.specs, spec], self._item_ids, schemas=self.schemas)

    def missing(self, spec: FeatureSpec) -> str | None:
        """Return a column that one more specification would add or give another type, or None."""
        for name, schema in self.schemas.items():
            wanted = _schema(name, [*self.specs, spec])
            odd = next((column for column, dtype in wanted.items() if schema.get(column) != dtype), None)
            if odd is not None:
                return f"{name}.{odd}"
        return None

    def empty(self, name: str) -> pl.DataFrame:
        """Return a table without rows."""
        return self.schemas[name].to_frame()

    def of(self, batches: Sequence[LogBatch]) -> CheckedRows:
        """Return the rows of batches as tables.

        A row is dropped if it names an item that the catalogue does not have. Columns that no specification knows are
        left out. The checks of many batches together take little more time than those of one.

        Args:
            batches: batches of different stores.

        Raises:
            WrongRowsError: a row of some batch does not follow the schema.
        """
        try:
            events = self._table(EVENTS, batches)
            _check_item_ids(EVENTS, events[ITEM_ID].is_null())
            known = events.filter(pl.Series(self._index.rows(events[ITEM_ID].to_numpy()) >= 0, dtype=pl.Boolean))
            check_events(known, self._features[EVENTS].values(), self._index)
            known = sort_events(known)
            requests = offered = self._table(REQUESTS, batches)
            if len(requests):
                offered = self._offered(requests)
        except LogsError as error:
            raise WrongRowsError(str(error)) from None
        return CheckedRows(known, offered)

    def _offered(self, requests: pl.DataFrame) -> pl.DataFrame:
        """Return the requests whose items are all in the catalogue."""
        _check_item_ids(REQUESTS, requests[ITEM_ID].is_null() | _has_null(requests[ITEM_ID]))
        _check_answers(requests)
        lists = requests.select(pl.int_range(pl.len()).alias("row"), ITEM_ID).explode(ITEM_ID)
        unknown = lists["row"].filter(pl.Series(self._index.rows(lists[ITEM_ID].fill_null(0).to_numpy()) < 0))
        offered = requests.filter(~pl.int_range(pl.len()).is_in(unknown.unique().implode()))
        check_requests(offered, self._features[REQUESTS].values(), self._index)
        check_unique(offered[REQUEST_ID].to_numpy())
        return offered

    def _table(self, name: str, batches: Sequence[LogBatch]) -> pl.DataFrame:
        """Return the rows of batches as one table, in their order."""
        parts = [(batch, batch.events if name == EVENTS else batch.requests) for batch in batches]
        for batch, rows in parts:
            _check_owner_columns(name, batch, rows)
        flat = [row for _, rows in parts for row in rows]
        columns: dict[str, list[Any]] = {
            USER_ID: [batch.user_id for batch, rows in parts for _ in rows],
            STORE_ID: [batch.store_id for batch, rows in parts for _ in rows],
        }
        for column in self.schemas[name]:
            if column not in columns:
                columns[column] = [row.get(column) for row in flat]
        if name == REQUESTS:
            # A version lacks the served columns that only another version reads.
            for column in {f.source for f in self._features[name].values() if f.origin == "served"}:
                lists = zip(columns[column], columns[ITEM_ID], strict=True)
                columns[column] = [[None] * _length(items) if each is None else each for each, items in lists]
        return pl.DataFrame(
            [_series(name, column, columns[column], dtype) for column, dtype in self.schemas[name].items()]
        )


def _check_owner_columns(name: str, batch: LogBatch, rows: Sequence[Row]) -> None:
    """Check that the rows of a batch name no other user and no other store."""
    for column, value in {USER_ID: batch.user_id, STORE_ID: batch.store_id}.items():
        for row in rows:
            if row.get(column, value) != value:
                raise WrongRowsError(f"{name}: {column} should be {value} in all rows; received {row[column]!r:.40}")


def check_owner(sent: Sent, batch: LogBatch) -> None:
    """Check that a batch belongs to the user of its store.

    Raises:
        WrongRowsError: the store belongs to another user, or its ID is negative.
    """
    if batch.store_id < 0:
        raise WrongRowsError(f"store_id should be at least 0; received {batch.store_id}")
    if sent.user_id not in (None, batch.user_id):
        raise WrongRowsError(
            f"store_id {batch.store_id} belongs to another user than {batch.user_id}: give each user and device a "
            "store_id of its own"
        )


def followed(sent: Sent, batch: LogBatch, marks: Mapping[str, Marks]) -> Sent:
    """Return how far a store has sent its rows with one more batch.

    Args:
        sent: how far it had sent them before.
        batch: the batch.
        marks: the first and the last of the batch's events that are stored, by kind.

    Raises:
        WrongRowsError: an event has no ordinal, or it does not follow the events that the store sent before. That
            happens if a copy of a store is used, for example from a backup. Samples could not read such logs.
    """
    found = sent._replace(number=batch.number, user_id=batch.user_id)
    for kind in BEHAVIOUR_KINDS:
        if kind.name not in marks:
            continue
        first, begin, last, end = marks[kind.name]
        if first < 0:
            raise WrongRowsError(f"{EVENTS}: {ORDINAL} should have a value in every row")
        before, before_time = getattr(sent, kind.name), getattr(sent, f"{kind.name}_time")
        if first <= before or begin < before_time:
            raise WrongRowsError(
                f"{EVENTS}: {kind.plural} should follow the ordinal {before} and the time {before_time}, which the "
                f"store has sent; received the ordinal {first} and the time {begin}: a copy needs a new store_id"
            )
        found = found._replace(**{kind.name: last, f"{kind.name}_time": end})
    return found


def _schema(name: str, specs: Iterable[FeatureSpec]) -> pl.Schema:
    """Return the columns and types of a table: those of the schema of logs, of the answer, and of all features."""
    types: dict[str, pl.DataType] = {**REQUIRED[name], **OPTIONAL[name]}
    types |= {PAGE_ID: pl.Int64()} if name == EVENTS else ANSWER
    sources: dict[str, pl.DataType] = {}
    for spec in specs:
        for feature in table_features(name, spec):
            inner = TYPES[feature.reads]
            wanted = pl.List(inner) if name == REQUESTS and feature.origin == "served" else inner
            # A column that one feature reads as a number and another as an ID holds integers.
            if feature.source not in sources or feature.reads != "numbers":
                sources[feature.source] = wanted
        if name == EVENTS:
            for group in spec.groups.values():
                sources = {**_counted(declared(group)), **sources}
    both = sources.keys() & types.keys()
    return pl.Schema({**types, **{column: dtype for column, dtype in sources.items() if column not in both}})


def _counted(columns: Mapping[str, Any]) -> dict[str, pl.DataType]:
    """Return the columns of events that as-of columns are computed from, and their types."""
    types: dict[str, pl.DataType] = {}
    for as_of in columns.values():
        for each in (as_of, as_of.per):
            types |= {name: pl.Float64() for name in (each and each.where, each and each.weight) if name}
        types |= {as_of.time: pl.Int64()} if as_of.time else {}
    return types


def _check_item_ids(name: str, missing: pl.Series) -> None:
    if missing.any():
        raise WrongRowsError(f"{name}: row {missing.arg_true()[0] + 1}: {ITEM_ID} should have a value")


def _has_null(lists: pl.Series) -> pl.Series:
    return lists.list.eval(pl.element().is_null()).list.any().fill_null(False)


def _check_answers(requests: pl.DataFrame) -> None:
    """Check the answers of a device, and the reasons of its requests."""
    columns = (ITEM_ID, POSITIONS, SCORES, TRIGGER, PROPENSITIES, EXPLORED_AMONG)
    for row, (items, positions, scores, trigger, *explored) in enumerate(requests.select(columns).iter_rows(), start=1):
        count, fault = len(items), None
        if positions is not None and (None in positions or sorted(positions) != list(range(count))):
            fault = f"{POSITIONS} should have each number from 0 to {count - 1} once, or be null"
        elif scores is not None and len(scores) != count:
            fault = f"{SCORES} should have {count} numbers, one for each item, or be null; received {len(scores)}"
        elif trigger is not None and len(trigger) > MAX_TRIGGER:
            fault = f"{TRIGGER} should have at most {MAX_TRIGGER} characters; received {len(trigger)}"
        elif explored != [None, None]:
            fault = exploration_fault(*explored, candidates=count)
        else:
            continue
        if fault is not None:
            raise WrongRowsError(f"{REQUESTS}: row {row}: {fault}")


def exploration_fault(propensities: list[float | None] | None, among: int | None, *, candidates: int) -> str | None:
    """Return what is wrong with the exploration of a request, or None."""
    if propensities is not None and not (
        1 <= len(propensities) <= candidates and all(one is not None and 0 < one <= 1 for one in propensities)
    ):
        return (
            f"{PROPENSITIES} should have 1 to {candidates} numbers above 0 and at most 1, or be null; "
            f"received {propensities!r:.60}"
        )
    if among is not None and (propensities is None or among < 1):
        return f"{EXPLORED_AMONG} should be at least 1, or null without {PROPENSITIES}; received {among}"
    return None


_ACCEPTED: dict[Any, tuple[type, ...]] = {
    pl.Float64: (int, float, bool),
    pl.String: (str,),
    pl.Int8: (int, bool),
    pl.Boolean: (bool,),
}


_WORDS: dict[Any, tuple[str, str]] = {
    pl.Int64(): ("a whole number", "whole numbers"),
    pl.Int8(): ("0 or 1", "0, 1"),
    pl.Float64(): ("a number", "numbers"),
    pl.String(): ("text", "texts"),
    pl.Boolean(): ("true or false", "true, false"),
}
"""The words of error texts for the types of columns: for one value, and for a list."""


def _series(name: str, column: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """Return a typed column. Booleans and integers are accepted as numbers."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    accepted = _ACCEPTED.get(inner, (int,))
    kinds = set(map(type, values)) - {NoneType}
    lists = inner is not dtype
    if kinds <= {list} and lists:
        kinds = set(map(type, chain.from_iterable(each for each in values if each is not None))) - {NoneType}
    elif lists or list in kinds:
        kinds = {object}
    if not kinds <= set(accepted):
        raise _wrong_value(name, column, values, dtype, accepted)
    try:
        if inner == pl.Float64 and kinds - {float}:
            values = [_floats(value) for value in values]
        return pl.Series(column, values, dtype=dtype)
    except (OverflowError, TypeError, pl.exceptions.PolarsError):
        raise WrongRowsError(f"{name}: {column} should be {_words(dtype)}; a value is too large") from None


def _wrong_value(
    name: str, column: str, values: list[Any], dtype: pl.DataType, accepted: tuple[type, ...]
) -> WrongRowsError:
    """Return the error for a column with a value of a wrong type. It names the first one."""
    lists = isinstance(dtype, pl.List)

    def is_wrong(value: Any) -> bool:
        each = value if isinstance(value, list) else (value,)
        wrong = isinstance(value, list) != lists or any(type(one) not in accepted for one in each if one is not None)
        return value is not None and wrong

    row, value = next((row, value) for row, value in enumerate(values, start=1) if is_wrong(value))
    return WrongRowsError(f"{name}: row {row}: {column} should be {_words(dtype)}; received {json.dumps(value):.60}")


def _words(dtype: pl.DataType) -> str:
    """Return what a column accepts, in the words of JSON."""
    if isinstance(dtype, pl.List):
        return f"a list of {_WORDS[dtype.inner][1]} or null"
    return _WORDS[dtype][0]


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _floats(value: Any) -> Any:
    if isinstance(value, list):
        return [None if one is None else float(one) for one in value]
    return None if value is None else float(value)
