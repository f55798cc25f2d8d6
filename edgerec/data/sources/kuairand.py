"""KuaiRand-Pure (short video, Kuaishou): SOURCE is the folder that holds both splits and the table of videos.

A user's videos of one day become a request. A play becomes a behaviour when it ends.

Each row contains only what was known at its time. A request is earlier than the first video of its list. The outcome of
a video becomes known when its play ends. docs/formats.md describes the columns. `kuairand.json` is the feature
specification; it says how counts, rates and times since events are computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.as_of.past_events import PastEvents, pair_keys
from edgerec.data.as_of.timeline import Integers
from edgerec.data.logs import LogsHead
from edgerec.data.sources._kuairand_files import ACTIONS, LATER, Slice, read_slice
from edgerec.data.sources.source import Source, UserLogs
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
UTC_OFFSET_MS = 8 * HOUR_MS
"""Days of the feed begin at midnight in China (UTC+8)."""

MAX_LIST = 100
"""The longest list. It is the default limit of samples."""


@dataclass
class Kuairand(Source):
    """A slice of KuaiRand-Pure: a folder with two splits by time and the catalogue of videos (`_kuairand_files`).

    A request has a user's impressions of one day (in China), in order of time. It is one millisecond before the first
    of them. A list ends, and a new request begins, after `MAX_LIST` videos or before a video that the list already has.
    A video that is shown again on the same day was usually not clicked the first time, so a repetition within a list
    would reveal its label.

    The test period begins with the first request of the first day after the earlier split. `duplicates` in the notes is
    the number of repeated rows that were dropped.
    """

    title: ClassVar[str] = "KuaiRand"

    @cached_property
    def _slice(self) -> Slice:
        return read_slice(self.folder)

    @cached_property
    def _listed(self) -> pl.DataFrame:
        return _listed(self._slice)

    def head(self) -> LogsHead:
        return LogsHead(name="kuairand", test_from=_test_from(self._slice, self._listed, self.folder))

    def items(self) -> pl.DataFrame:
        return self._slice.items.with_columns(video=pl.col("item_id"))

    def read(self) -> Iterator[UserLogs]:
        yield UserLogs(_events(self._listed), _requests(self._listed))

    def notes(self) -> dict[str, Any]:
        return {"duplicates": self._slice.duplicates}


def _listed(source: Slice) -> pl.DataFrame:
    """Return one row for each impression, with its request, sorted by user and time."""
    shown = source.impressions
    day = (_ints(shown, "time") + UTC_OFFSET_MS) // DAY_MS
    number = pl.Series("list", _lists(_ints(shown, "user_id"), day, _ints(shown, "item_id")))
    return shown.with_columns(number, pl.Series("day", day)).with_columns(
        asked=pl.col("time").first().over("list") - 1,
    )


def _lists(users: Integers, days: Integers, videos: Integers) -> Integers:
    """Return the list number of each impression, counted from 0. Impressions (n,) are sorted by user and time."""
    lists = np.empty(len(users), np.int64)
    number, begun, seen = -1, (-1, -1), set[int]()
    for row, (user, day, video) in enumerate(zip(users.tolist(), days.tolist(), videos.tolist(), strict=True)):
        if (user, day) != begun or video in seen or len(seen) == MAX_LIST:
            number, begun = number + 1, (user, day)
            seen.clear()
        seen.add(video)
        lists[row] = number
    return lists


def _requests(listed: pl.DataFrame) -> pl.DataFrame:
    return (
        listed.group_by("list", maintain_order=True)
        .agg(pl.col("user_id").first(), pl.col("asked").first().alias("time"), pl.col("item_id", "clicked"))
        .sort("time", "user_id", "list")
        .drop("list")
        .with_row_index("request_id")
        .with_columns(
            pl.col("request_id").cast(pl.Int64), trigger=pl.lit("page"), model_version=pl.lit(None, pl.String)
        )
    )


def _events(listed: pl.DataFrame) -> pl.DataFrame:
    """Return an exposure for each impression and a page-view for each click. Their time is the end of the play."""
    pairs, ended = pair_keys(_ints(listed, "user_id"), _ints(listed, "item_id")), _ints(listed, "ended")
    seconds, share = pl.col("play_s").cast(pl.Float32), pl.col("play_share").cast(pl.Float32)
    times = {"time": "ended", "shown_at": "time", "offered_at": "asked"}
    common = [pl.col("user_id", "item_id", *ACTIONS), *(pl.col(old).alias(new) for new, old in times.items()), share]
    exposures = listed.select(
        *common,
        kind=pl.lit(EXPOSURE.name),
        exposure_duration_s=seconds,
        exposure_count=pl.Series((PastEvents(pairs, ended).at(pairs, ended).count() + 1).astype(np.int32)),
    )
    views = listed.filter(pl.col("clicked") == 1).select(*common, kind=pl.lit(PAGE_VIEW.name), page_duration_s=seconds)
    # Plays that ended at the same time are in the order of their starts.
    return pl.concat([exposures, views], how="diagonal").sort("user_id", "time", "kind", maintain_order=True)


def _test_from(source: Slice, listed: pl.DataFrame, folder: Path) -> int:
    last_day = (source.earlier_until + UTC_OFFSET_MS) // DAY_MS
    later = listed.filter(pl.col("day") > last_day)["asked"]
    if not len(later):
        raise LogsError(
            f"KuaiRand: {folder / LATER} has no day after the last day of the earlier split: give splits by time"
        )
    return cast(int, later.min())


def _ints(table: pl.DataFrame, column: str) -> Integers:
    return table[column].to_numpy().astype(np.int64, copy=False)
