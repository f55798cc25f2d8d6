"""Click rates by what was known when a page was shown: each exposure once, and counts of its past."""

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
"""Places in the list that are counted one by one; further ones are counted together."""
ITEM_BUCKETS = (0, 1, 2, 3, 4, 5)
"""Least number of earlier exposures of each bucket; the last one is open."""
CATEGORY_BUCKETS = (0, 1, 2, 3, 5, 10, 20, 50)


@dataclass(frozen=True, eq=False)
class Rates:
    """Exposures and clicks by bucket.

    Attributes:
        exposures: (buckets,).
        clicks: (buckets,), of them clicked.
    """

    exposures: Integers
    clicks: Integers

    @classmethod
    def of(cls, buckets: Integers, clicked: NDArray[np.bool_], *, size: int) -> Rates:
        """Args:
        buckets: (n,) of each exposure, from 0 to `size` - 1.
        clicked: (n,).
        size: how many buckets there are.
        """
        exposures, clicks = (np.bincount(part, minlength=size) for part in (buckets, buckets[clicked]))
        return cls(exposures.astype(np.int64), clicks.astype(np.int64))

    def __add__(self, other: Rates) -> Rates:
        return Rates(self.exposures + other.exposures, self.clicks + other.clicks)


def bucket(numbers: Integers, least: Sequence[int]) -> Integers:
    """Bucket (n,) of each of `numbers` (n,), given the least number of each bucket."""
    return np.searchsorted(np.array(least), numbers, side="right").astype(np.int64) - 1


def bucket_names(least: Sequence[int]) -> list[str]:
    """`0`, `3-4`, ..., `5+`."""
    last = [following - 1 for following in least[1:]]
    names = [str(low) if low == high else f"{low}-{high}" for low, high in zip(least, last, strict=False)]
    return [*names, f"{least[-1]}+"]


def exposures_of(pages: pl.DataFrame) -> pl.DataFrame:
    """One row an exposure: user, `time` of its page's first request, item, `clicked`, and `position` there, from 1."""
    places = pl.int_ranges(1, pl.col(ITEM_ID).list.len() + 1, dtype=pl.Int64).alias(POSITION)
    columns = [ITEM_ID, CLICKED, POSITION]
    rows = pages.select(USER_ID, TIME, ITEM_ID, CLICKED, places).explode(columns)
    return rows.drop_nulls(CLICKED)


def count_before(
    asked: pl.DataFrame, events: pl.DataFrame, by: Sequence[str], *, resets: pl.DataFrame | None = None
) -> Integers:
    """How many `events` of the same keys lie strictly before the time of each row of `asked`.

    With `resets`, only those after the latest of these that lies strictly before it, too.

    Args:
        asked: (n rows) with the columns `by` and `time`.
        events: likewise.
        by: the keys, for example user and item.
        resets: likewise.

    Returns:
        (n,) in the order of `asked`.
    """
    # At one instant: asked before it happens, and an event is not after the reset.
    parts = [asked, events, *([] if resets is None else [resets])]
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
    # Events up to and with each row; what was there at the latest beginning or reset is not counted.
    running = np.cumsum(ranks == 1)
    before = np.where(begins, running - (ranks == 1), np.where(ranks == 2, running, 0))
    since = running - np.maximum.accumulate(before)
    counts = np.empty(len(asked), np.int64)
    questions = ranks == 0
    counts[rows["row"].to_numpy()[questions]] = since[questions]
    return counts


def has_categories(items: pl.DataFrame) -> bool:
    """Whether items have a category to count by."""
    dtype = items.schema.get(CATEGORY)
    return dtype is not None and (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum))


def by_position(exposures: pl.DataFrame) -> Rates:
    """By place in the page's list, the last bucket for all beyond `POSITIONS`."""
    places = np.minimum(exposures[POSITION].to_numpy(), POSITIONS + 1) - 1
    return Rates.of(places, _clicked(exposures), size=POSITIONS + 1)


def by_item_exposures(exposures: pl.DataFrame, shown: pl.DataFrame) -> Rates:
    """By how often the item had been shown to the user before.

    Two witnesses, of whom the one who saw more is believed. Earlier pages know at once what they show, be the
    behaviour complete much later. Events know also what was shown on pages of which there is no request.

    Args:
        exposures: to be counted, as `exposures_of`.
        shown: the exposures of the events, of the same users.
    """
    by = [USER_ID, ITEM_ID]
    earlier = np.maximum(count_before(exposures, exposures, by), count_before(exposures, shown, by))
    return Rates.of(bucket(earlier, ITEM_BUCKETS), _clicked(exposures), size=len(ITEM_BUCKETS))


def by_category_exposures(
    exposures: pl.DataFrame, items: pl.DataFrame, shown: pl.DataFrame, viewed: pl.DataFrame
) -> tuple[Rates, int]:
    """By how many exposures of the item's category the user had since last opening one, and how many have none.

    Args:
        exposures: to be counted, as `exposures_of`.
        items: with `category`.
        shown: the exposures of the events, of the same users.
        viewed: their page-views: what ends a run of exposures without a click.
    """
    # A number for each category: quicker to sort than names.
    categories = items.select(ITEM_ID, pl.col(CATEGORY).rank("dense").cast(pl.Int64))
    asked, events, resets = (
        part.join(categories, on=ITEM_ID, how="left", maintain_order="left").drop_nulls(CATEGORY)
        for part in (exposures, shown.select(USER_ID, TIME, ITEM_ID), viewed.select(USER_ID, TIME, ITEM_ID))
    )
    earlier = count_before(asked, events, [USER_ID, CATEGORY], resets=resets)
    rates = Rates.of(bucket(earlier, CATEGORY_BUCKETS), _clicked(asked), size=len(CATEGORY_BUCKETS))
    return rates, len(exposures) - len(asked)


def _clicked(exposures: pl.DataFrame) -> NDArray[np.bool_]:
    return (exposures[CLICKED] == 1).to_numpy()
