"""Touches: what the app wrote when a user saw or opened an item of a list (docs/your-logs.md, "Labels").

These functions clean touches and turn them into the labels of requests. They work on tables before the logs are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from edgerec.core.errors import InputError
from edgerec.data.schema import CLICKED, ITEM_ID, REQUEST_ID, TIME


def drop_repeats(touches: pl.DataFrame, *, within_ms: int = 0) -> pl.DataFrame:
    """Return the touches without repeated ones, in the same order.

    A touch is repeated if it is equal to an earlier row in all columns except `time`, and at most `within_ms`
    milliseconds later than the last such row. With 0, its time is equal, too: it was delivered twice.

    Args:
        touches: one row for each touch. `time` is in milliseconds. Drop columns that differ for each delivery first.
        within_ms: with a larger number, an app that reports an item again and again gives one touch.

    Raises:
        InputError: there is no column `time`, or `within_ms` is negative.
    """
    _check_columns("drop_repeats", touches, TIME)
    if within_ms < 0:
        raise InputError(f"drop_repeats: within_ms should be at least 0; received {within_ms}")
    same = [column for column in touches.columns if column != TIME]
    ordered = touches.with_row_index("__row").sort(TIME, maintain_order=True)
    since = pl.col(TIME).diff().over(same) if same else pl.col(TIME).diff()
    kept = ordered.filter(since.is_null() | (since > within_ms))
    return kept.sort("__row").drop("__row")


@dataclass(frozen=True)
class Labelled:
    """The result of `label_requests`.

    Attributes:
        requests: the requests with the column `clicked`.
        unknown_lists: number of touches whose list is not among the requests. They give no label.
        unlisted: number of touches of an item that is not in their list. They give no label.
    """

    requests: pl.DataFrame
    unknown_lists: int
    unlisted: int


def label_requests(requests: pl.DataFrame, touches: pl.DataFrame) -> Labelled:
    """Return the requests with their labels: 1 clicked, 0 touched without click, null not touched.

    An item that was touched several times in one list has one label. A touch of an unknown list or of an item that is
    not in its list gives no label. It stays a behaviour: keep it in the events, with null for served values.

    Args:
        requests: one row for each list: `request_id`, and `item_id` with the list of candidates.
        touches: one row for each touch of an item: `request_id` (null: the touch was not in a list), `item_id`, and
            `clicked` (whether the touch was a click).

    Raises:
        InputError: a column is missing, or a request occurs twice.
    """
    _check_columns("label_requests: `requests`", requests, REQUEST_ID, ITEM_ID)
    twice = requests.filter(pl.col(REQUEST_ID).is_duplicated())[REQUEST_ID]
    if len(twice):
        raise InputError(
            f"label_requests: `requests` should have each request_id once; {twice[0]} occurs more than once"
        )
    _check_columns("label_requests: `touches`", touches, REQUEST_ID, ITEM_ID, CLICKED)
    key = [REQUEST_ID, ITEM_ID]
    listed = touches.select(*key, pl.col(CLICKED).cast(pl.Int8)).drop_nulls(REQUEST_ID)
    known = listed.filter(pl.col(REQUEST_ID).is_in(requests[REQUEST_ID].implode()))
    candidates = requests.select(*key).explode(ITEM_ID)
    labels = known.group_by(key).agg(pl.col(CLICKED).max())
    joined = candidates.join(labels, on=key, how="left", maintain_order="left")
    lists = joined.group_by(REQUEST_ID, maintain_order=True).agg(CLICKED)
    labelled = requests.drop(CLICKED, strict=False).join(lists, on=REQUEST_ID, how="left", maintain_order="left")
    inside = known.join(candidates.unique(), on=key, how="semi")
    return Labelled(labelled, len(listed) - len(known), len(known) - len(inside))


def _check_columns(what: str, table: pl.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{what} should have a column {column!r}; its columns are: {', '.join(table.columns)}")
