"""The order of rows in logs."""

from __future__ import annotations

import numpy as np
import polars as pl

from edgerec.data.schema import REQUEST_ID, TIME, USER_ID


def sort_events(events: pl.DataFrame) -> pl.DataFrame:
    """Return events in order of user and time. Events with equal user and time keep their order."""
    return events if _sorted(events, USER_ID, TIME) else events.sort(USER_ID, TIME, maintain_order=True)


def sort_requests(requests: pl.DataFrame) -> pl.DataFrame:
    """Return requests in order of time, user and request_id."""
    order = (TIME, USER_ID, REQUEST_ID)
    return requests if _sorted(requests, *order) else requests.sort(*order)


def _sorted(table: pl.DataFrame, *columns: str) -> bool:
    """Return whether the rows are sorted by integer columns. The first column is the most significant one."""
    ordered = np.ones(max(len(table) - 1, 0), np.bool_)
    for name in reversed(columns):
        values = table[name].to_numpy()
        ordered = (values[1:] > values[:-1]) | ((values[1:] == values[:-1]) & ordered)
    return bool(ordered.all())
