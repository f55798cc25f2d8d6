"""Checks of the lists of candidates in the table of requests."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.feature_columns import check_column, check_values
from edgerec.data.schema import CLICK_COUNT, CLICKED, ITEM_ID, REQUEST_ID, REQUESTS
from edgerec.features.kinds import Feature


def check_lists(requests: pl.DataFrame, served: Iterable[Feature]) -> None:
    """Check that the lists of a request have equal length, labels are 0, 1 or null, and served values are valid."""
    lengths = requests[ITEM_ID].list.len()
    if len(requests) and lengths.min() == 0:
        row = requests.row(int((lengths == 0).arg_max() or 0), named=True)
        raise LogsError(f"logs: request {row[REQUEST_ID]} has no item; every request needs at least one candidate")
    if requests[ITEM_ID].explode().null_count():
        raise LogsError(f"logs: {REQUESTS}.{ITEM_ID} has a null in a list; every candidate needs an item ID")
    labels: dict[str, Feature | None] = {CLICKED: None} if CLICKED in requests.columns else {}
    columns = labels | {feature.source: feature for feature in served}
    for column, feature in columns.items():
        if feature is not None:
            check_column(REQUESTS, requests.columns, feature)
            if not isinstance(requests.schema[column], pl.List):
                raise LogsError(
                    f"logs: {REQUESTS}.{column} should be a list with one value for each candidate "
                    f"(feature {feature.name}); received {requests.schema[column]}"
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
                    f"logs: {REQUESTS}.{CLICKED} should be 0, 1, or null if not exposed; received {wrong[0]}"
                )
        else:
            check_values(REQUESTS, values, feature)


def check_repeated_items(requests: pl.DataFrame) -> None:
    """Check that no list has an item twice, because the item would have two labels."""
    lists = requests[ITEM_ID]
    repeated = lists.list.n_unique() != lists.list.len()
    if not repeated.any():
        return
    request = int(repeated.arg_max() or 0)
    items = lists[request]
    item = items.filter(items.is_duplicated())[0]
    first, second = [index + 1 for index, each in enumerate(items) if each == item][:2]
    raise LogsError(
        f"logs: request {requests[REQUEST_ID][request]} lists item {item} at positions {first} and {second} of its "
        f"{len(items)}; a list should contain an item once. Write it once, with one label. If one item_id stands "
        'for several items that look alike, set "repeated_items": true in logs.json (docs/formats.md)'
    )


def check_click_counts(requests: pl.DataFrame) -> None:
    """Check that click counts are lists of integers that are above 0 where the label is 1, and 0 elsewhere."""
    received = requests.schema[CLICK_COUNT]
    if not isinstance(received, pl.List) or not received.inner.is_integer():
        raise LogsError(f"logs: {REQUESTS}.{CLICK_COUNT} should be a list of whole numbers; received {received}")
    other = requests.filter(pl.col(CLICK_COUNT).list.len().fill_null(0) != pl.col(CLICKED).list.len())
    if not len(other):
        counts, labels = requests[CLICK_COUNT].explode().fill_null(0), requests[CLICKED].explode().fill_null(0)
        if bool(((counts > 0) == (labels == 1)).all()) and bool((counts >= 0).all()):
            return
    raise LogsError(
        f"logs: {REQUESTS}.{CLICK_COUNT} should have one value for each candidate, above 0 where {CLICKED} is 1 and 0 "
        "elsewhere: correct or remove the column"
    )
