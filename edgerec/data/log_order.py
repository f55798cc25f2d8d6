"""The order of rows in logs."""

from __future__ import annotations

import numpy as np
import polars as pl

from edgerec.data.ordinals import NONE, check_ordinals
from edgerec.data.schema import ORDINAL, REQUEST_ID, STORE_ID, TIME, USER_ID


def sort_events(events: pl.DataFrame) -> pl.DataFrame:
    """Return events in order of user, store, time and ordinal. Events that are equal in all of them keep their order.

    `events` has all rows of its users, or all rows before some time. A null is before all numbers.

    Raises:
        LogsError: the ordinals do not number the behaviours of a kind in a store.
    """
    events = order_events(events)
    check_ordinals(events)
    return events


def order_events(events: pl.DataFrame) -> pl.DataFrame:
    """Return events in the order of `sort_events`. Ordinals are not checked."""
    order = [name for name in (USER_ID, STORE_ID, TIME, ORDINAL) if name in events.columns]
    return events if _sorted(events, *order) else events.sort(order, maintain_order=True)


def sort_requests(requests: pl.DataFrame) -> pl.DataFrame:
    """Return requests in order of time, user and request_id."""
    order = (TIME, USER_ID, REQUEST_ID)
    return requests if _sorted(requests, *order) else requests.sort(*order)


def _sorted(table: pl.DataFrame, *columns: str) -> bool:
    """Return whether the rows are sorted by integer columns. The first column is the most significant one."""
    ordered = np.ones(max(len(table) - 1, 0), np.bool_)
    for name in reversed(columns):
        column = table[name]
        values = (column.fill_null(NONE) if column.null_count() else column).to_numpy()
        ordered = (values[1:] > values[:-1]) | ((values[1:] == values[:-1]) & ordered)
    return bool(ordered.all())
