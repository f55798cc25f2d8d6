"""Checks of the tables of logs against their schema."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.casting import arrays_as_lists, exact_cast
from edgerec.data.catalogue import ItemIndex
from edgerec.data.feature_columns import check_features, check_relations
from edgerec.data.log_order import sort_events, sort_requests
from edgerec.data.ordinals import ORDINALS, STORES, check_numbers, check_store_columns
from edgerec.data.request_lists import check_click_counts, check_lists, check_repeated_items
from edgerec.data.schema import (
    CLICK_COUNT,
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
    items = cast_columns(ITEMS, items)
    twice = items.filter(pl.col(ITEM_ID).is_duplicated())
    if len(twice):
        raise LogsError(f"logs: {ITEMS}.{ITEM_ID} should be unique; {twice[ITEM_ID][0]} occurs more than once")
    if bool((items[ITEM_ID] == MISSING_ID).any()):
        raise LogsError(f"logs: {ITEMS}.{ITEM_ID} holds {MISSING_ID}, which stands for a missing ID; renumber it")
    check_features(ITEMS, items, of_origin(spec.item, "catalogue"))
    check_relations(items, spec)
    return items.sort(ITEM_ID)


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
    events = cast_columns(EVENTS, events, columns)
    check_times(EVENTS, events)
    names = [kind.name for kind in BEHAVIOUR_KINDS]
    kinds = events.filter(~pl.col(KIND).is_in(names))
    if len(kinds):
        raise LogsError(
            f"logs: {EVENTS}.{KIND} should be {' or '.join(map(repr, names))}; received {kinds[KIND][0]!r} "
            f"({len(kinds)} rows)"
        )
    check_numbers(EVENTS, events, STORE_ID, below=STORES)
    check_numbers(EVENTS, events, ORDINAL, below=ORDINALS)
    check_features(EVENTS, events, features)
    _known(EVENTS, events[ITEM_ID], index)
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
    requests = cast_columns(REQUESTS, lists_of_arrays(requests), columns)
    check_times(REQUESTS, requests)
    check_numbers(REQUESTS, requests, STORE_ID, below=STORES)
    features = tuple(features)
    check_lists(requests, of_origin(features, "served"))
    check_features(REQUESTS, requests, of_origin(features, "request"))
    if CLICK_COUNT in requests.columns:
        check_click_counts(requests)
    _known(REQUESTS, requests[ITEM_ID].explode(), index)
    if not repeated_items:
        check_repeated_items(requests)
    return requests


def check_columns(name: str, table: pl.DataFrame, spec: FeatureSpec) -> None:
    """Check the columns of the table `name` against the schema and `spec`. `table` has the columns, but no rows.

    Raises:
        LogsError: a column is missing or has a wrong type.
    """
    nothing = ItemIndex.of(np.empty(0, np.int64))
    if name == ITEMS:
        check_items(table, spec)
    elif name == EVENTS:
        check_events(table, table_features(name, spec), nothing)
    else:
        read = [column for column in table.columns if column in columns_to_read(name, spec)]
        check_requests(table.select(read), table_features(name, spec), nothing)


def check_unique(request_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    """Check that the IDs of all requests (r,) are unique."""
    ordered = np.sort(request_ids)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise LogsError(
            f"logs: {REQUESTS}.{REQUEST_ID} should be unique; {twice[0]} occurs more than once: is a part repeated?"
        )


def check_times(name: str, table: pl.DataFrame) -> None:
    """Check that times in milliseconds are between 1970 and 2100. `check_unit` finds tables with times in seconds."""
    first, last = table[TIME].min(), table[TIME].max()
    if first is None or (first >= 0 and last <= MAX_TIME_MS):  # type: ignore[operator]
        return
    outside = table.filter(~pl.col(TIME).is_between(0, MAX_TIME_MS))[TIME]
    if len(outside):
        raise _odd_time(name, outside[0])


def check_unit(name: str, first: int) -> None:
    """Check that the times of a table are not in seconds. `first` is the smallest time in all rows of the table."""
    if SECONDS[0] <= first <= SECONDS[1]:
        raise _odd_time(name, first)


def _odd_time(name: str, received: int) -> LogsError:
    return LogsError(
        f"logs: {name}.{TIME} should be milliseconds since 1970 and before 2100; received {received}: "
        "is it in another unit?"
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
    where = table_name(name, file)
    there = {column: dtype for column, dtype in OPTIONAL[name].items() if column in table.columns}
    types = {**REQUIRED[name], **there}
    if columns is not None:
        types = {column: dtype for column, dtype in types.items() if column in columns}
    for column, dtype in types.items():
        if column not in table.columns:
            raise LogsError(
                f"logs: table {name!r} has no column {column!r} ({dtype}); "
                f"its columns are: {', '.join(table.columns)}. Add or rename it (docs/formats.md)"
            )
    table = exact_cast(table, types, where=f"{where}.")
    for column in types:
        nulls = table[column].null_count()
        if nulls and column not in NULLABLE:
            raise LogsError(f"{where}.{column} has no value in {nulls} rows; every row needs a value")
    return table


def lists_of_arrays(table: pl.DataFrame) -> pl.DataFrame:
    """Cast fixed-size lists (`Array`) to `List`, so that all files have the same types."""
    arrays = arrays_as_lists(table.schema)
    return table.cast(arrays) if arrays else table  # type: ignore[arg-type]


def _known(name: str, ids: pl.Series, index: ItemIndex) -> None:
    values = ids.to_numpy()
    unknown = values[index.rows(values) < 0]
    if len(unknown):
        raise LogsError(
            f"logs: {name}.{ITEM_ID} names {len(np.unique(unknown))} items that {ITEMS} does not have, "
            f"for example {unknown[0]}: add them to {ITEMS}"
        )
