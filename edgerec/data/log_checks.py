"""Checks of the tables of logs against their schema.

`find_x` yields every fault (`edgerec.data.log_faults`), `check_x` raises the first one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from edgerec.core.text import counted
from edgerec.data.casting import arrays_as_lists, find_casts
from edgerec.data.catalogue import ItemIndex
from edgerec.data.feature_columns import find_features, find_relations
from edgerec.data.log_faults import Fault, Found, Place, noting, refuse
from edgerec.data.log_order import sort_events, sort_requests
from edgerec.data.ordinals import ORDINALS, STORES, check_store_columns, find_numbers
from edgerec.data.request_lists import find_click_counts, find_lists, find_repeated_items
from edgerec.data.schema import (
    CLICK_COUNT,
    CLICKED,
    EVENTS,
    ITEM_ID,
    ITEMS,
    KIND,
    MAX_TIME_MS,
    NULLABLE,
    OPTIONAL,
    ORDINAL,
    REQUEST_ID,
    REQUESTS,
    REQUIRED,
    SECONDS,
    STORE_ID,
    TIME,
    columns_to_read,
    event_features,
    request_features,
    table_features,
    table_name,
)
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import MISSING_ID


def check_tables(
    tables: Mapping[str, pl.DataFrame], spec: FeatureSpec, *, repeated_items: bool = False
) -> dict[str, pl.DataFrame]:
    """Check the three complete tables against the schema and `spec`. Return them with cast columns and sorted rows.

    `edgerec.data.log_order` says how rows are sorted.

    Args:
        tables: the tables by name.
        spec: the feature specification.
        repeated_items: see `edgerec.data.logs.LogsHead`.

    Raises:
        LogsError: a table breaks the schema. The message names the table and column, what was expected and received.
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
    """Check and sort events and requests as `check_tables` does. The catalogue must be checked already."""
    check_store_columns(events.columns, requests.columns)
    events = check_events(events, event_features(spec), index)
    requests = check_requests(requests, request_features(spec), index, repeated_items=repeated_items)
    check_unique(requests[REQUEST_ID].to_numpy())
    for name, table in ((EVENTS, events), (REQUESTS, requests)):
        if len(table):
            check_unit(name, int(table[TIME].min()))  # type: ignore[arg-type]
    return sort_events(events), sort_requests(requests)


def check_items(items: pl.DataFrame, spec: FeatureSpec) -> pl.DataFrame:
    """Check the catalogue against the schema and `spec`. Return it with cast columns, sorted by `item_id`."""
    items = refuse(find_items(items, spec))
    refuse(find_repeated_ids(items))
    return items.sort(ITEM_ID)


def find_items(items: pl.DataFrame, spec: FeatureSpec, *, file: Path | None = None) -> Found[pl.DataFrame]:
    """Find the faults in all or some rows of the catalogue. Return them with cast columns.

    This does not check whether IDs are unique. `find_repeated_ids` does, and it needs all rows.
    """
    items = yield from find_columns(ITEMS, items, file=file)
    if ITEM_ID in items.columns:
        missing = items[ITEM_ID] == MISSING_ID
        if missing.any():
            place = Place.of(missing)
            yield Fault(
                f"logs: {ITEMS}.{ITEM_ID} holds {MISSING_ID}, which stands for a missing ID; renumber it",
                expected=f"IDs above {MISSING_ID}",
                found=f"{MISSING_ID}, which stands for a missing ID",
                advice="renumber it",
                column=ITEM_ID,
                row=place.row,
                rows=place.rows,
            )
    yield from find_features(ITEMS, items, of_origin(spec.item, "catalogue"))
    yield from find_relations(items, spec)
    return items


def find_repeated_ids(items: pl.DataFrame) -> Found[None]:
    """Find IDs that occur more than once in the catalogue. `items` has all rows."""
    wrong = items[ITEM_ID].is_duplicated()
    if wrong.any():
        place = Place.of(wrong)
        twice = items[ITEM_ID][place.row]
        yield Fault(
            f"logs: {ITEMS}.{ITEM_ID} should be unique; {twice} occurs more than once",
            expected="unique IDs",
            found=f"{twice} more than once",
            advice="keep one row for each item",
            column=ITEM_ID,
            row=place.row,
            rows=place.rows,
        )


def check_events(
    events: pl.DataFrame, features: Iterable[Feature], index: ItemIndex, *, columns: Collection[str] | None = None
) -> pl.DataFrame:
    """Check all or some of the events against the schema. Return them with cast columns, in the same order.

    Args:
        events: the table.
        features: the features whose columns are read.
        index: the index of the catalogue.
        columns: the required columns that are checked; default: all.
    """
    return refuse(find_events(events, features, index, columns=columns))


def find_events(
    events: pl.DataFrame,
    features: Iterable[Feature],
    index: ItemIndex | None,
    *,
    columns: Collection[str] | None = None,
    file: Path | None = None,
) -> Found[pl.DataFrame]:
    """Find what `check_events` refuses. Without `index`, items are not looked up."""
    events = yield from find_columns(EVENTS, events, columns, file=file)
    yield from find_times(EVENTS, events)
    names = [kind.name for kind in BEHAVIOUR_KINDS]
    wrong = ~events[KIND].is_in(names) if KIND in events.columns else pl.Series([], dtype=pl.Boolean)
    if wrong.any():
        place = Place.of(wrong)
        received = events[KIND][place.row]
        yield Fault(
            f"logs: {EVENTS}.{KIND} should be {' or '.join(map(repr, names))}; received {received!r} "
            f"({counted(place.rows, 'row', 'rows')})",
            expected=" or ".join(map(repr, names)),
            found=repr(received),
            advice="rename the kind, or leave the rows out",
            column=KIND,
            row=place.row,
            rows=place.rows,
        )
    yield from find_numbers(EVENTS, events, STORE_ID, below=STORES)
    yield from find_numbers(EVENTS, events, ORDINAL, below=ORDINALS)
    yield from find_features(EVENTS, events, features)
    if index is not None and ITEM_ID in events.columns:
        yield from _find_unknown(EVENTS, events[ITEM_ID], index)
    return events


def check_requests(
    requests: pl.DataFrame,
    features: Iterable[Feature],
    index: ItemIndex,
    *,
    columns: Collection[str] | None = None,
    repeated_items: bool = False,
) -> pl.DataFrame:
    """Check all or some of the requests against the schema. Return them with cast columns, in the same order.

    This function does not check whether request IDs are unique. `check_unique` does, and it needs all requests.

    Args:
        requests: the table.
        features: the features whose columns are read: item features of origin `served` and context features.
        index: the index of the catalogue.
        columns: the required columns that are checked; default: all.
        repeated_items: whether a list may contain an item several times; see `edgerec.data.logs.LogsHead`.
    """
    return refuse(find_requests(requests, features, index, columns=columns, repeated_items=repeated_items))


def find_requests(
    requests: pl.DataFrame,
    features: Iterable[Feature],
    index: ItemIndex | None,
    *,
    columns: Collection[str] | None = None,
    repeated_items: bool = False,
    file: Path | None = None,
) -> Found[pl.DataFrame]:
    """Find what `check_requests` refuses. Without `index`, items are not looked up."""
    refused: set[str] = set()
    received = lists_of_arrays(requests)
    requests = yield from noting(find_columns(REQUESTS, received, columns, file=file), refused)
    yield from find_times(REQUESTS, requests)
    yield from find_numbers(REQUESTS, requests, STORE_ID, below=STORES)
    features = tuple(features)
    if ITEM_ID in requests.columns:
        yield from find_lists(requests, of_origin(features, "served"), received=received[ITEM_ID])
    yield from find_features(REQUESTS, requests, of_origin(features, "request"))
    if CLICK_COUNT in requests.columns and CLICKED in requests.columns:
        yield from find_click_counts(requests)
    if ITEM_ID in requests.columns:
        lists = requests[ITEM_ID]
        if index is not None:
            yield from _find_unknown(REQUESTS, lists.explode(), index, lists.list.len())
        if not repeated_items and not refused & {ITEM_ID}:
            yield from find_repeated_items(requests)
    return requests


def check_columns(name: str, table: pl.DataFrame, spec: FeatureSpec) -> None:
    """Check the columns of the table `name` against the schema and `spec`. `table` has the columns, but no rows.

    Raises:
        LogsError: a column is missing or has a wrong type.
    """
    refuse(find_schema(name, table, spec))


def find_schema(name: str, table: pl.DataFrame, spec: FeatureSpec) -> Found[None]:
    """Find what `check_columns` refuses."""
    if name == ITEMS:
        yield from find_items(table, spec)
    elif name == EVENTS:
        yield from find_events(table, table_features(name, spec), None)
    else:
        read = [column for column in table.columns if column in columns_to_read(name, spec)]
        yield from find_requests(table.select(read), table_features(name, spec), None)


def check_unique(request_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    """Check that the IDs of all requests (r,) are unique."""
    refuse(find_repeated_requests(request_ids))


def find_repeated_requests(request_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Found[None]:
    """Find IDs that occur more than once. The row of the fault is the second one that has the ID."""
    ordered = np.sort(request_ids)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        yield Fault(
            f"logs: {REQUESTS}.{REQUEST_ID} should be unique; {twice[0]} occurs more than once: is a part repeated?",
            expected="unique IDs",
            found=f"{twice[0]} more than once",
            advice="is a part repeated? Remove it, or number the requests anew",
            column=REQUEST_ID,
            row=int(np.flatnonzero(request_ids == twice[0])[1]),
            rows=len(twice),
        )


def check_times(name: str, table: pl.DataFrame) -> None:
    """Check that times in milliseconds are between 1970 and 2100. `check_unit` finds tables with times in seconds."""
    refuse(find_times(name, table))


def find_times(name: str, table: pl.DataFrame) -> Found[None]:
    """Find times that `check_times` refuses."""
    if TIME not in table.columns:
        return
    first, last = table[TIME].min(), table[TIME].max()
    if first is None or (first >= 0 and last <= MAX_TIME_MS):  # type: ignore[operator]
        return
    outside = ~table[TIME].is_between(0, MAX_TIME_MS)
    if outside.any():
        place = Place.of(outside)
        yield _odd_time(name, table[TIME][place.row], place)


def check_unit(name: str, first: int) -> None:
    """Check that the times of a table are not in seconds. `first` is the smallest time in all rows of the table."""
    refuse(find_unit(name, first))


def find_unit(name: str, first: int) -> Found[None]:
    """Find out whether the times of a table are in seconds. `first` is the smallest time in all rows of the table."""
    if SECONDS[0] <= first <= SECONDS[1]:
        yield _odd_time(name, first, None)


def _odd_time(name: str, received: int, place: Place | None) -> Fault:
    return Fault(
        f"logs: {name}.{TIME} should be milliseconds since 1970 and before 2100; received {received}: "
        "is it in another unit?",
        expected="milliseconds since 1970 and before 2100",
        found=str(received),
        advice="is it in another unit? Write integers of milliseconds",
        column=TIME,
        row=place.row if place else None,
        rows=place.rows if place else None,
    )


def cast_columns(
    name: str, table: pl.DataFrame, columns: Collection[str] | None = None, *, file: Path | None = None
) -> pl.DataFrame:
    """Cast the required and optional columns to the types of the schema. Check that only `NULLABLE` columns have nulls.

    Args:
        name: name of the table.
        table: all or some rows of the table.
        columns: the columns that are cast and checked; default: all. If one of them is required, it must exist.
        file: the file that has the rows, for error texts; None if they are from several files.
    """
    return refuse(find_columns(name, table, columns, file=file))


def find_columns(
    name: str, table: pl.DataFrame, columns: Collection[str] | None = None, *, file: Path | None = None
) -> Found[pl.DataFrame]:
    """Find what `cast_columns` refuses. A column of a wrong type is removed, and a wrong value becomes null."""
    where = table_name(name, file)
    there = {column: dtype for column, dtype in OPTIONAL[name].items() if column in table.columns}
    types = {**REQUIRED[name], **there}
    if columns is not None:
        types = {column: dtype for column, dtype in types.items() if column in columns}
    for column, dtype in types.items():
        if column not in table.columns:
            yield Fault(
                f"logs: table {name!r} has no column {column!r} ({dtype}); "
                f"its columns are: {', '.join(table.columns)}. Add or rename it (docs/formats.md)",
                expected=f"a column {column!r} ({dtype})",
                found=f"the columns {', '.join(table.columns)}",
                advice="add or rename it (docs/formats.md)",
                column=column,
            )
    received = table
    table = yield from find_casts(table, types, where=f"{where}.")
    for column in types:
        # A value that could not be cast is null now, but has its fault already.
        if column in NULLABLE or column not in table.columns or not received[column].null_count():
            continue
        place = Place.of(received[column].is_null())
        yield Fault(
            f"{where}.{column} has no value in {counted(place.rows, 'row', 'rows')}; every row needs a value",
            expected="a value in every row",
            found="null",
            advice="write the value, or leave the row out",
            column=column,
            row=place.row,
            rows=place.rows,
        )
    return table


def lists_of_arrays(table: pl.DataFrame) -> pl.DataFrame:
    """Cast fixed-size lists (`Array`) to `List`, so that all files have the same types."""
    arrays = arrays_as_lists(table.schema)
    return table.cast(arrays) if arrays else table  # type: ignore[arg-type]


def _find_unknown(name: str, ids: pl.Series, index: ItemIndex, lengths: pl.Series | None = None) -> Found[None]:
    """Find IDs that are not in the catalogue. If `ids` are exploded lists, `lengths` has the length of each list."""
    nulls = ids.is_null() if ids.null_count() else None
    # An ID that is null has its fault already.
    values = ids.to_numpy() if nulls is None else ids.fill_null(0).to_numpy()
    absent = index.rows(values) < 0
    if nulls is not None:
        absent &= ~nulls.to_numpy()
    unknown = values[absent]
    if len(unknown):
        place = Place.of(pl.Series(absent), lengths)
        yield Fault(
            f"logs: {name}.{ITEM_ID} names {len(np.unique(unknown))} items that {ITEMS} does not have, "
            f"for example {unknown[0]}: add them to {ITEMS}",
            expected=f"items that {ITEMS} has",
            found=str(unknown[0]),
            advice=f"add the items to {ITEMS}; keep withdrawn items there as long as logs name them",
            column=ITEM_ID,
            row=place.row,
            rows=place.rows,
        )
