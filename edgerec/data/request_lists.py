"""Checks of the lists of candidates in the table of requests."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from edgerec.data.feature_columns import find_column, find_values
from edgerec.data.log_faults import Fault, Found, Place
from edgerec.data.schema import CLICK_COUNT, CLICKED, ITEM_ID, REQUEST_ID, REQUESTS
from edgerec.features.kinds import Feature


def find_lists(requests: pl.DataFrame, served: Iterable[Feature], *, received: pl.Series) -> Found[None]:
    """Find requests without candidates, lists of other lengths, wrong labels, and served values that are not valid.

    `received` has the lists of candidates before they were cast. A value that could not be cast is null now, but it has
    its fault already.
    """
    lengths = requests[ITEM_ID].list.len()
    if len(requests) and lengths.min() == 0:
        place = Place.of(lengths == 0)
        yield Fault(
            f"logs: request {_id(requests, place.row)} has no item; every request needs at least one candidate",
            expected="at least one candidate in every request",
            found="an empty list",
            advice="add the candidates, or leave the request out",
            column=ITEM_ID,
            row=place.row,
            rows=place.rows,
        )
    # An exploded list without entries has one entry, a null.
    ids = received if isinstance(received.dtype, pl.List) else requests[ITEM_ID]
    if ids.explode().null_count() > int((lengths.fill_null(0) == 0).sum() or 0):
        place = Place.of(ids.list.drop_nulls().list.len() != lengths)
        yield Fault(
            f"logs: {REQUESTS}.{ITEM_ID} has a null in a list; every candidate needs an item ID",
            expected="an item ID for every candidate",
            found="null in a list",
            advice="write the ID, or leave the candidate out of all lists",
            column=ITEM_ID,
            row=place.row,
            rows=place.rows,
        )
    if CLICKED in requests.columns:
        yield from _find_lengths(requests, CLICKED, lengths)
        values = requests[CLICKED].explode()
        wrong = ~values.is_in([0, 1])
        if wrong.any():
            place = Place.of(wrong, requests[CLICKED].list.len())
            received = values.filter(wrong)[0]
            yield Fault(
                f"logs: {REQUESTS}.{CLICKED} should be 0, 1, or null if not exposed; received {received}",
                expected="0, 1, or null if not exposed",
                found=str(received),
                advice="write labels as 0, 1 or null",
                column=CLICKED,
                row=place.row,
                rows=place.rows,
            )
    for feature in served:
        column = feature.source
        there = yield from find_column(REQUESTS, requests.columns, feature)
        if not there:
            continue
        if not isinstance(requests.schema[column], pl.List):
            yield Fault(
                f"logs: {REQUESTS}.{column} should be a list with one value for each candidate "
                f"(feature {feature.name}); received {requests.schema[column]}",
                expected=f"a list with one value for each candidate (feature {feature.name})",
                found=str(requests.schema[column]),
                advice="write a list in the order of item_id",
                column=column,
            )
            continue
        yield from _find_lengths(requests, column, lengths)
        yield from find_values(REQUESTS, requests[column].explode(), feature, requests[column].list.len())


def _find_lengths(requests: pl.DataFrame, column: str, lengths: pl.Series) -> Found[None]:
    received = requests[column].list.len().fill_null(0)
    other = received != lengths
    if not other.any():
        return
    place = Place.of(other)
    yield Fault(
        f"logs: request {_id(requests, place.row)}: {column} should have one value for each of its "
        f"{lengths[place.row]} candidates; received {received[place.row]}",
        expected="one value for each candidate",
        found=f"{received[place.row]} values for {lengths[place.row]} candidates (request {_id(requests, place.row)})",
        advice="write null for missing values; do not drop values before grouping",
        column=column,
        row=place.row,
        rows=place.rows,
    )


def find_repeated_items(requests: pl.DataFrame) -> Found[None]:
    """Find lists that have an item twice, because the item would have two labels."""
    lists = requests[ITEM_ID]
    repeated = lists.list.n_unique() != lists.list.len()
    if not repeated.any():
        return
    place = Place.of(repeated)
    items = lists[place.row]
    item = items.filter(items.is_duplicated())[0]
    first, second = [index + 1 for index, each in enumerate(items) if each == item][:2]
    request = f"request {_id(requests, place.row)} lists item {item} at positions {first} and {second}"
    yield Fault(
        f"logs: {request} of its {len(items)}; a list should contain an item once. Write it once, with one label. If "
        'one item_id stands for several items that look alike, set "repeated_items": true in logs.json '
        "(docs/formats.md)",
        expected="an item once in a list",
        found=f"{request}",
        advice='write it once, with one label; or set "repeated_items": true in logs.json (docs/formats.md)',
        column=ITEM_ID,
        row=place.row,
        rows=place.rows,
    )


def find_click_counts(requests: pl.DataFrame) -> Found[None]:
    """Find click counts that are not lists of integers that are above 0 where the label is 1, and 0 elsewhere."""
    received = requests.schema[CLICK_COUNT]
    if not isinstance(received, pl.List) or not received.inner.is_integer():
        yield Fault(
            f"logs: {REQUESTS}.{CLICK_COUNT} should be a list of whole numbers; received {received}",
            expected="a list of whole numbers",
            found=str(received),
            advice="correct or remove the column",
            column=CLICK_COUNT,
        )
        return
    lengths = requests[CLICKED].list.len()
    wrong, per_list = requests[CLICK_COUNT].list.len().fill_null(0) != lengths, None
    if not wrong.any():
        counts, labels = requests[CLICK_COUNT].explode().fill_null(0), requests[CLICKED].explode().fill_null(0)
        wrong, per_list = ((counts > 0) != (labels == 1)) | (counts < 0), lengths
        if not wrong.any():
            return
    place = Place.of(wrong, per_list)
    yield Fault(
        f"logs: {REQUESTS}.{CLICK_COUNT} should have one value for each candidate, above 0 where {CLICKED} is 1 and 0 "
        "elsewhere: correct or remove the column",
        expected=f"one value for each candidate, above 0 where {CLICKED} is 1 and 0 elsewhere",
        found=str(requests[CLICK_COUNT][place.row].to_list() if requests[CLICK_COUNT][place.row] is not None else None),
        advice="correct or remove the column",
        column=CLICK_COUNT,
        row=place.row,
        rows=place.rows,
    )


def _id(requests: pl.DataFrame, row: int) -> object:
    """Return the ID of the request in the row, or its place if the IDs cannot be read."""
    return requests[REQUEST_ID][row] if REQUEST_ID in requests.columns else f"in row {row + 1}"
