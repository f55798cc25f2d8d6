"""The first request of each page of a user. Later requests of the page repeat its items."""

from __future__ import annotations

import polars as pl

from edgerec.data.schema import PAGE_ID, REQUEST_ID, TIME, USER_ID


def page_openings(requests: pl.DataFrame) -> pl.DataFrame:
    """Return the first request of each page, in order of time. Together, these requests have each exposure once.

    Later requests of a page repeat some of its exposures. Without the column `page_id`, each request is a page.
    """
    if PAGE_ID not in requests.columns:
        return requests
    ordered = requests.sort(TIME, USER_ID, REQUEST_ID)
    return ordered.unique([USER_ID, PAGE_ID], keep="first", maintain_order=True)
