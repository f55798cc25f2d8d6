"""Click rates by position and by number of earlier exposures. Each exposure counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.schema import CATEGORY, CLICKED, ITEM_ID, TIME, USER_ID

Integers = NDArray[np.int64]

POSITION = "position"

POSITIONS = 100
"""Number of positions that are counted one by one. All later positions are counted together."""
ITEM_BUCKETS = (0, 1, 2, 3, 4, 5)
"""The smallest number of earlier exposures in each bucket. The last bucket has no upper end."""
CATEGORY_BUCKETS = (0, 1, 2, 3, 5, 10, 20, 50)


@dataclass(frozen=True, eq=False)
class Rates:
    """Exposures and clicks by bucket.

    Attributes:
        exposures: (buckets,), number of exposures.
        clicks: (buckets,), number of these exposures that were clicked.
    """

    exposures: Integers
    clicks: Integers

    @classmethod
    def of(cls, buckets: Integers, clicked: NDArray[np.bool_], *, size: int) -> Rates:
        """Count exposures by bucket.

        Args:
            buckets: (n,), the bucket of each exposure, from 0 to `size` - 1.
            clicked: (n,), whether each exposure was clicked.
            size: number of buckets.
        """
        exposures, clicks = (np.bincount(part, minlength=size) for part in (buckets, buckets[clicked]))
        return cls(exposures.astype(np.int64), clicks.astype(np.int64))

    def __add__(self, other: Rates) -> Rates:
        return Rates(self.exposures + other.exposures, self.clicks + other.clicks)


def bucket(numbers: Integers, least: Sequence[int]) -> Integers:
    """Return the index of each number's bucket (n,). `least` has the smallest number of each bucket."""
    return np.searchsorted(np.array(least), numbers, side="right").astype(np.int64) - 1


def bucket_names(least: Sequence[int]) -> list[str]:
    """Return the names of buckets, for example `0`, `3-4` and `5+`."""
    last = [following - 1 for following in least[1:]]
    names = [str(low) if low == high else f"{low}-{high}" for low, high in zip(least, last, strict=False)]
    return [*names, f"{least[-1]}+"]


def exposures_of(pages: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each exposure on `pages`.

    Its columns are the user, the `time` of the page's first request, the item, `clicked`, and `position` (from 1).
    """
    positions = pl.int_ranges(1, pl.col(ITEM_ID).list.len() + 1, dtype=pl.Int64).alias(POSITION)
    columns = [ITEM_ID, CLICKED, POSITION]
    rows = pages.select(USER_ID, TIME, ITEM_ID, CLICKED, positions).explode(columns)
    return rows.drop_nulls(CLICKED)


def count_before(
    queries: pl.DataFrame, events: pl.DataFrame, by: Sequence[str], *, resets: pl.DataFrame | None = None
) -> Integers:
    """For each query, count the `events` with the same keys and a smaller time.

    If `resets` are given, only events after the latest reset are counted. The latest reset is the last row of `resets`
    with the same keys and a smaller time than the query.

    Args:
        queries: n rows with the columns `by` and `time`.
        events: rows with the same columns.
        by: the keys, for example user and item.
        resets: rows with the same columns.

    Returns:
        (n,), in the order of `queries`.
    """
    # Rows with equal times are in the order queries, events, resets. So an event at the time of a query does not count
    # as earlier, and an event at the time of a reset does not count as later.
    parts = [queries, events, *([] if resets is None else [resets])]
    columns = [*by, TIME]
    rows = pl.concat(
        [
            part.select(*columns, rank=pl.lit(rank, pl.Int8), row=pl.int_range(pl.len(), dtype=pl.Int64))
            for rank, part in enumerate(parts)
        ]
    ).sort(*columns, "rank")
    ranks = rows["rank"].to_numpy()
    begins = np.zeros(len(rows), np.bool_)
    for key in by:
        begins |= rows[key].ne_missing(rows[key].shift()).to_numpy()
    begins[:1] = True
    # The number of events up to each row, minus those before the latest reset. The first row of each key is a reset.
    running = np.cumsum(ranks == 1)
    before = np.where(begins, running - (ranks == 1), np.where(ranks == 2, running, 0))
    since = running - np.maximum.accumulate(before)
    counts = np.empty(len(queries), np.int64)
    is_query = ranks == 0
    counts[rows["row"].to_numpy()[is_query]] = since[is_query]
    return counts


def has_categories(items: pl.DataFrame) -> bool:
    """Return whether items have a category whose type can be counted."""
    dtype = items.schema.get(CATEGORY)
    return dtype is not None and (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum))


def by_position(exposures: pl.DataFrame) -> Rates:
    """Return the rates by position in the page's list. The last bucket has all positions after `POSITIONS`."""
    positions = np.minimum(exposures[POSITION].to_numpy(), POSITIONS + 1) - 1
    return Rates.of(positions, _clicked(exposures), size=POSITIONS + 1)


def by_item_exposures(exposures: pl.DataFrame, shown: pl.DataFrame) -> Rates:
    """Return the rates by the number of earlier exposures of the same item to the same user.

    Earlier exposures are counted in two ways, from pages and from events, and the larger count is used. A page has an
    exposure as soon as it is shown, but its event may be logged much later. Events include exposures on pages without a
    request.

    Args:
        exposures: the exposures to count, from `exposures_of`.
        shown: the events of these users that are exposures.
    """
    by = [USER_ID, ITEM_ID]
    earlier = np.maximum(count_before(exposures, exposures, by), count_before(exposures, shown, by))
    return Rates.of(bucket(earlier, ITEM_BUCKETS), _clicked(exposures), size=len(ITEM_BUCKETS))


def by_category_exposures(
    exposures: pl.DataFrame, items: pl.DataFrame, shown: pl.DataFrame, viewed: pl.DataFrame
) -> tuple[Rates, int]:
    """Return rates by earlier exposures of the item's category, and the number of exposures without a category.

    Only exposures after the user's latest page-view of an item of this category count as earlier exposures.

    Args:
        exposures: the exposures to count, from `exposures_of`.
        items: the catalogue, with the column `category`.
        shown: the events of these users that are exposures.
        viewed: the events of these users that are page-views.
    """
    # Categories are replaced by numbers, because numbers are sorted faster than names.
    categories = items.select(ITEM_ID, pl.col(CATEGORY).rank("dense").cast(pl.Int64))
    queries, events, resets = (
        part.join(categories, on=ITEM_ID, how="left", maintain_order="left").drop_nulls(CATEGORY)
        for part in (exposures, shown.select(USER_ID, TIME, ITEM_ID), viewed.select(USER_ID, TIME, ITEM_ID))
    )
    earlier = count_before(queries, events, [USER_ID, CATEGORY], resets=resets)
    rates = Rates.of(bucket(earlier, CATEGORY_BUCKETS), _clicked(queries), size=len(CATEGORY_BUCKETS))
    return rates, len(exposures) - len(queries)


def _clicked(exposures: pl.DataFrame) -> NDArray[np.bool_]:
    return (exposures[CLICKED] == 1).to_numpy()
