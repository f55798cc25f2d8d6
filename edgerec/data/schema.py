"""The schema of logs, and the checks that hold tables to it (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.casting import arrays_as_lists, exact_cast
from edgerec.data.catalogue import ItemIndex
from edgerec.data.columns import TYPES
from edgerec.data.feature_columns import check_column, check_features, check_values
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import MISSING_ID

ITEMS, EVENTS, REQUESTS = "items", "events", "requests"
ITEM_ID, USER_ID, TIME, KIND, REQUEST_ID = "item_id", "user_id", "time", "kind", "request_id"
CLICKED, TRIGGER, MODEL_VERSION = "clicked", "trigger", "model_version"
CLICK_COUNT = "click_count"
"""Optional in requests: how often each candidate was clicked; 0 exactly where `clicked` is not 1."""
PAGE_ID = "page_id"
"""Optional in requests: the user's page on which the candidates stood, where requests of one page overlap."""
CATEGORY = "category"
"""Optional in items, whole numbers or strings: `edgerec stats` counts by it."""
OPENED_FROM = "opened_from"
"""Optional in events: from where a page was opened, `feed` or `search`."""

MAX_TIME_MS = 4_102_444_800_000
"""2100-01-01: a larger time is in another unit (micro- or nanoseconds)."""
SECONDS = (946_684_800, 4_102_444_800)
"""2000-01-01 and 2100-01-01 in seconds. Logs that begin there would be of January 1970: their unit is the second.
Made-up times that count from 0 are let pass."""

REQUIRED: dict[str, dict[str, pl.DataType]] = {
    ITEMS: {ITEM_ID: pl.Int64()},
    EVENTS: {USER_ID: pl.Int64(), TIME: pl.Int64(), KIND: pl.String(), ITEM_ID: pl.Int64()},
    REQUESTS: {
        REQUEST_ID: pl.Int64(),
        USER_ID: pl.Int64(),
        TIME: pl.Int64(),
        TRIGGER: pl.String(),
        MODEL_VERSION: pl.String(),
        ITEM_ID: pl.List(pl.Int64()),
        CLICKED: pl.List(pl.Int8()),
    },
}
"""The columns that every data set has; what its features read comes on top."""

OPTIONAL: dict[str, dict[str, pl.DataType]] = {
    ITEMS: {},
    EVENTS: {OPENED_FROM: pl.String()},
    REQUESTS: {PAGE_ID: pl.Int64()},
}
"""Columns that a data set may have, and their types where it does."""

NULLABLE = {MODEL_VERSION, OPENED_FROM}


def check_tables(
    tables: Mapping[str, pl.DataFrame], spec: FeatureSpec, *, repeated_items: bool = False
) -> dict[str, pl.DataFrame]:
    """Hold the three tables, whole, to the schema and to what `spec` reads; returns them cast and sorted.

    Events come back in order of user and time (of writing, at one instant); requests of time, user and request_id.

    Args:
        tables: by name.
        spec: what the columns mean.
        repeated_items: see `edgerec.data.logs.LogsHead`.

    Raises:
        LogsError: the first fault: table, column, what was expected, what was received.
    """
    items = check_items(tables[ITEMS], spec)
    index = ItemIndex.of(items[ITEM_ID].to_numpy())
    events, requests = check_rows(tables[EVENTS], tables[REQUESTS], spec, index, repeated_items=repeated_items)
    return {ITEMS: items, EVENTS: events, REQUESTS: requests}


def check_rows(
    events: pl.DataFrame,
    requests: pl.DataFrame,
    spec: FeatureSpec,
    index: ItemIndex,
    *,
    repeated_items: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and requests as `check_tables` holds them to the schema and sorts them, of a catalogue checked before."""
    events = check_events(events, event_features(spec), index)
    requests = check_requests(requests, of_origin(spec.item, "served"), index, repeated_items=repeated_items)
    check_unique(requests[REQUEST_ID].to_numpy())
    for name, table in ((EVENTS, events), (REQUESTS, requests)):
        if len(table):
            check_unit(name, int(table[TIME].min()))  # type: ignore[arg-type]
    return sort_events(events), sort_requests(requests)


def check_items(items: pl.DataFrame, spec: FeatureSpec) -> pl.DataFrame:
    """Hold the catalogue to the schema and to what `spec` reads; returns it cast and in order of `item_id`."""
    items = cast_columns(ITEMS, items)
    twice = items.filter(pl.col(ITEM_ID).is_duplicated())
    if len(twice):
        raise LogsError(f"logs: {ITEMS}.{ITEM_ID} should be unique; {twice[ITEM_ID][0]} stands more than once")
    if bool((items[ITEM_ID] == MISSING_ID).any()):
        raise LogsError(f"logs: {ITEMS}.{ITEM_ID} holds {MISSING_ID}, which stands for a missing identity; renumber it")
    check_features(ITEMS, items, of_origin(spec.item, "catalogue"))
    return items.sort(ITEM_ID)


def check_events(
    events: pl.DataFrame, features: Iterable[Feature], index: ItemIndex, *, columns: Collection[str] | None = None
) -> pl.DataFrame:
    """Hold events, or a part of them, to the schema; returns them cast, in the order received.

    Args:
        events: the table.
        features: those whose columns are read.
        index: the items there are.
        columns: of the required ones those that are read; default: all.
    """
    events = cast_columns(EVENTS, events, columns)
    check_times(EVENTS, events)
    names = [kind.name for kind in BEHAVIOUR_KINDS]
    kinds = events.filter(~pl.col(KIND).is_in(names))
    if len(kinds):
        raise LogsError(
            f"logs: {EVENTS}.{KIND} should be {' or '.join(map(repr, names))}; received {kinds[KIND][0]!r} "
            f"({len(kinds)} rows)"
        )
    check_features(EVENTS, events, features)
    _known(EVENTS, events[ITEM_ID], index)
    return events


def check_requests(
    requests: pl.DataFrame,
    served: Iterable[Feature],
    index: ItemIndex,
    *,
    columns: Collection[str] | None = None,
    repeated_items: bool = False,
) -> pl.DataFrame:
    """Hold requests, or a part of them, to the schema; returns them cast, in the order received.

    That no `request_id` stands twice is left to `check_unique`, which needs all of them.

    Args:
        requests: the table.
        served: features whose columns are read.
        index: the items there are.
        columns: of the required ones those that are read; default: all.
        repeated_items: let a list hold one item several times; see `edgerec.data.logs.LogsHead`.
    """
    requests = cast_columns(REQUESTS, lists_of_arrays(requests), columns)
    check_times(REQUESTS, requests)
    _check_lists(requests, served)
    if CLICK_COUNT in requests.columns:
        _check_click_counts(requests)
    _known(REQUESTS, requests[ITEM_ID].explode(), index)
    if not repeated_items:
        _check_repeated_items(requests)
    return requests


def read_columns(name: str, spec: FeatureSpec) -> frozenset[str]:
    """The columns of the table `name` that are read, if they are there. All others are ignored."""
    extra = (CATEGORY,) if name == ITEMS else ()
    sources = (feature.source for feature in table_features(name, spec))
    return frozenset((*REQUIRED[name], *OPTIONAL[name], *extra, *sources))


def check_columns(name: str, table: pl.DataFrame, spec: FeatureSpec) -> None:
    """Hold the columns of the table `name` to the schema and to what `spec` reads, whatever its rows refer to.

    Raises:
        LogsError: a column is missing or of a wrong type.
    """
    nothing = ItemIndex.of(np.empty(0, np.int64))
    if name == ITEMS:
        check_items(table, spec)
    elif name == EVENTS:
        check_events(table, table_features(name, spec), nothing)
    else:
        read = [column for column in table.columns if column in read_columns(name, spec)]
        check_requests(table.select(read), table_features(name, spec), nothing)


def table_features(name: str, spec: FeatureSpec) -> tuple[Feature, ...]:
    """The features that read columns of the table `name`."""
    if name == EVENTS:
        return event_features(spec)
    return of_origin(spec.item, "catalogue" if name == ITEMS else "served")


def check_unique(request_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    """No two of all requests (r,) have one identity."""
    ordered = np.sort(request_ids)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise LogsError(
            f"logs: {REQUESTS}.{REQUEST_ID} should be unique; {twice[0]} stands more than once: is a part there twice?"
        )


def check_unit(name: str, first: int) -> None:
    """The earliest time of a whole table does not look like seconds."""
    if SECONDS[0] <= first <= SECONDS[1]:
        raise _odd_time(name, first)


def sort_events(events: pl.DataFrame) -> pl.DataFrame:
    """Events in order of user and time; at one instant, of writing."""
    return events if _sorted(events, USER_ID, TIME) else events.sort(USER_ID, TIME, maintain_order=True)


def sort_requests(requests: pl.DataFrame) -> pl.DataFrame:
    """Requests in order of time, user and request_id."""
    order = (TIME, USER_ID, REQUEST_ID)
    return requests if _sorted(requests, *order) else requests.sort(*order)


def _sorted(table: pl.DataFrame, *columns: str) -> bool:
    """Whether rows are in ascending order of integer columns, the first of which counts most."""
    ordered = np.ones(max(len(table) - 1, 0), np.bool_)
    for name in reversed(columns):
        values = table[name].to_numpy()
        ordered = (values[1:] > values[:-1]) | ((values[1:] == values[:-1]) & ordered)
    return bool(ordered.all())


def event_features(spec: FeatureSpec) -> tuple[Feature, ...]:
    """The features that read columns of events."""
    actions = (feature for kind in BEHAVIOUR_KINDS for feature in spec.actions(kind))
    return (*actions, *of_origin(spec.item, "served"))


def column_types(name: str, columns: Collection[str], features: Iterable[Feature]) -> dict[str, pl.DataType]:
    """Return the types of those of `columns` that have one: columns of the schema, identities and strings of features.

    Args:
        name: of the table.
        columns: what the table has.
        features: those whose columns are read.
    """
    types = {column: dtype for column, dtype in {**REQUIRED[name], **OPTIONAL[name]}.items() if column in columns}
    for feature in features:
        # Numbers may be of any numeric type.
        if feature.reads != "numbers" and feature.source in columns:
            wanted = TYPES[feature.reads]
            types.setdefault(feature.source, pl.List(wanted) if name == REQUESTS else wanted)
    return types


def cast_columns(
    name: str, table: pl.DataFrame, columns: Collection[str] | None = None, *, file: Path | None = None
) -> pl.DataFrame:
    """`table` with its required and optional columns in their types; none may be null.

    Args:
        name: of the table.
        table: its rows, or some of them.
        columns: those that are looked at, of which the required ones have to be there; default: all.
        file: whose rows these are, where they are all of one file.
    """
    where = table_name(name, file)
    there = {column: dtype for column, dtype in OPTIONAL[name].items() if column in table.columns}
    types = {**REQUIRED[name], **there}
    if columns is not None:
        types = {column: dtype for column, dtype in types.items() if column in columns}
    for column, dtype in types.items():
        if column not in table.columns:
            raise LogsError(
                f"logs: table {name!r} has no column {column!r} ({dtype}); it has: {', '.join(table.columns)}. "
                "Add or rename it (docs/formats.md)"
            )
    table = exact_cast(table, types, where=f"{where}.")
    for column in types:
        nulls = table[column].null_count()
        if nulls and column not in NULLABLE:
            raise LogsError(f"{where}.{column} has {nulls} empty rows; every row needs a value")
    return table


def lists_of_arrays(table: pl.DataFrame) -> pl.DataFrame:
    """`table` with its fixed-size lists as lists of any length: the same values, and one type for all files."""
    arrays = arrays_as_lists(table.schema)
    return table.cast(arrays) if arrays else table  # type: ignore[arg-type]


def table_name(name: str, file: Path | None = None) -> str:
    """How errors name a table, or one of its files."""
    return f"logs: {name}" if file is None else f"logs: {file}: {name}"


def check_times(name: str, table: pl.DataFrame) -> None:
    """Times are milliseconds between 1970 and 2100, as far as a part of a table can tell."""
    outside = table.filter(~pl.col(TIME).is_between(0, MAX_TIME_MS))[TIME]
    if len(outside):
        raise _odd_time(name, outside[0])


def _odd_time(name: str, received: int) -> LogsError:
    return LogsError(
        f"logs: {name}.{TIME} should be milliseconds since 1970 and before 2100; received {received}: "
        "is it in another unit?"
    )


def _check_lists(requests: pl.DataFrame, served: Iterable[Feature]) -> None:
    """Lists of one request have one length, labels are 0, 1 or empty, served values no NaN."""
    lengths = requests[ITEM_ID].list.len()
    if len(requests) and lengths.min() == 0:
        row = requests.row(int((lengths == 0).arg_max() or 0), named=True)
        raise LogsError(f"logs: request {row[REQUEST_ID]} offers no item; every request needs at least one candidate")
    if requests[ITEM_ID].explode().null_count():
        raise LogsError(f"logs: {REQUESTS}.{ITEM_ID} has an empty entry in a list; every candidate needs its item")
    labels: dict[str, Feature | None] = {CLICKED: None} if CLICKED in requests.columns else {}
    columns = labels | {feature.source: feature for feature in served}
    for column, feature in columns.items():
        if feature is not None:
            check_column(REQUESTS, requests.columns, feature)
            if not isinstance(requests.schema[column], pl.List):
                raise LogsError(
                    f"logs: {REQUESTS}.{column} should be a list with one value a candidate (feature {feature.name}); "
                    f"received {requests.schema[column]}"
                )
        received = requests[column].list.len().fill_null(0)
        other = (received != lengths).arg_true()
        if len(other):
            row = other[0]
            raise LogsError(
                f"logs: request {requests[REQUEST_ID][row]}: {column} should have one value for each of its "
                f"{lengths[row]} candidates; received {received[row]}"
            )
        values = requests[column].explode()
        if feature is None:
            wrong = values.filter(~values.is_in([0, 1]))
            if len(wrong):
                raise LogsError(
                    f"logs: {REQUESTS}.{CLICKED} should be 0, 1 or, not exposed, empty; received {wrong[0]}"
                )
        else:
            check_values(REQUESTS, values, feature)


def _check_repeated_items(requests: pl.DataFrame) -> None:
    """No list holds an item twice: which of its labels would be the item's?"""
    lists = requests[ITEM_ID]
    repeated = lists.list.n_unique() != lists.list.len()
    if not repeated.any():
        return
    request = int(repeated.arg_max() or 0)
    items = lists[request]
    item = items.filter(items.is_duplicated())[0]
    first, second = [place + 1 for place, each in enumerate(items) if each == item][:2]
    raise LogsError(
        f"logs: request {requests[REQUEST_ID][request]} lists item {item} in places {first} and {second} of its "
        f"{len(items)}; a list shows an item once. Write each item once in a list, with one label. Where one item_id "
        'stands for several items that look alike, let logs.json say "repeated_items": true (docs/formats.md)'
    )


def _check_click_counts(requests: pl.DataFrame) -> None:
    """The optional counts are lists of whole numbers as long as the labels, above 0 exactly where the label is 1."""
    received = requests.schema[CLICK_COUNT]
    if not isinstance(received, pl.List) or not received.inner.is_integer():
        raise LogsError(f"logs: {REQUESTS}.{CLICK_COUNT} should be a list of whole numbers; received {received}")
    other = requests.filter(pl.col(CLICK_COUNT).list.len().fill_null(0) != pl.col(CLICKED).list.len())
    if not len(other):
        counts, labels = requests[CLICK_COUNT].explode().fill_null(0), requests[CLICKED].explode().fill_null(0)
        if bool(((counts > 0) == (labels == 1)).all()) and bool((counts >= 0).all()):
            return
    raise LogsError(
        f"logs: {REQUESTS}.{CLICK_COUNT} should have one value a candidate, above 0 where {CLICKED} is 1 and else 0; "
        "mend it or leave the column out"
    )


def _known(name: str, ids: pl.Series, index: ItemIndex) -> None:
    values = ids.to_numpy()
    unknown = values[index.rows(values) < 0]
    if len(unknown):
        raise LogsError(
            f"logs: {name}.{ITEM_ID} names {len(np.unique(unknown))} items that {ITEMS} does not have, "
            f"for example {unknown[0]}"
        )
