"""Which explored places the user has seen while their order was in force."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.cloud.log_rows import POSITIONS, PROPENSITIES
from edgerec.data.schema import ITEM_ID, PAGE_ID, REQUEST_ID, STORE_ID, TIME, USER_ID

_NO_STORE = -1


def seen_places(orders: pl.DataFrame, exposures: pl.DataFrame) -> NDArray[np.bool_]:
    """Return for each explored request which of its places count. Shape (requests, places), in the order of `orders`.

    A place counts if the candidates at it and at all places before it were exposed in this order while the request's
    order was in force. An order is in force until the next one of the same user, store and page. A candidate that the
    next order does not list was fixed before it, so its exposure may end later.

    Args:
        orders: all requests that changed the order, from `read_orders`.
        exposures: from `read_exposures`.
    """
    # Logs that do not say which page showed an item are matched by user and store. Then the next order may be of
    # another page, so the rows are sorted by time before they are shifted.
    by_page = bool(exposures[PAGE_ID].count()) and bool(orders[PAGE_ID].count())
    key = [USER_ID, STORE_ID, *([PAGE_ID] if by_page else [])]
    store = pl.col(STORE_ID).fill_null(_NO_STORE)
    orders = (
        orders.with_columns(store)
        .with_row_index("row")
        .sort(*key, TIME, REQUEST_ID)
        .with_columns(
            pl.col(TIME).shift(-1).over(key).alias("until"), pl.col(ITEM_ID).shift(-1).over(key).alias("next")
        )
        .sort("row")
    )
    explored = orders.filter(pl.col(PROPENSITIES).is_not_null()).with_row_index("request")
    shown = pl.col(ITEM_ID).list.gather(pl.col(POSITIONS).list.slice(0, pl.col(PROPENSITIES).list.len()))
    explored = explored.with_columns(shown.alias("shown"))
    exposures = exposures.with_columns(store).rename({TIME: "ended"})
    places = int(explored["shown"].list.len().max())  # type: ignore[arg-type]
    ended = np.full((len(explored), places), -1, np.int64)
    for place in range(places):
        item = pl.col("shown").list.get(place, null_on_oob=True)
        there = explored.select(
            "request",
            *key,
            TIME,
            "until",
            item.alias(ITEM_ID),
            pl.col("next").list.contains(item).fill_null(False).alias("listed"),
        )
        found = (
            there.join(exposures, on=[*key, ITEM_ID])
            .filter(pl.col("ended") >= pl.col(TIME))
            .filter(~pl.col("listed") | (pl.col("ended") < pl.col("until")))
            .group_by("request")
            .agg(pl.col("order").min())
        )
        ended[found["request"].to_numpy(), place] = found["order"].to_numpy()
    before = np.concatenate([np.full((len(ended), 1), -1), ended[:, :-1]], axis=1)
    seen: NDArray[np.bool_] = np.logical_and.accumulate(ended > before, axis=1)
    return seen
