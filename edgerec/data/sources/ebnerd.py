"""Convert EB-NeRD to logs. Lists of news articles become requests. When the user leaves a page, it becomes behaviours.

Each row contains only what was known at its time. A click on a list becomes known when the user leaves the page of the
list (impression_time + read_time). The reading time becomes known when the user leaves the article (next_read_time
later). docs/formats.md names the columns; `ebnerd.json` is the feature specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl

from edgerec.data.logs import LogsHead
from edgerec.data.sources._ebnerd_files import Bundle, read_bundle
from edgerec.data.sources.popularity import FirstSeen, Integers, PastCounts, pair_keys
from edgerec.data.sources.source import Source, UserLogs
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
WINDOWS = {
    "10m": 10 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "3h": 3 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "24h": 24 * HOUR_MS,
}
"""Time windows in which clicks are counted. News becomes old within hours, so the clicks of the last hour are the best
single number for a ranker."""
LISTED = {"5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "1h": HOUR_MS, "6h": 6 * HOUR_MS}
"""Time windows in which shown lists are counted. A shown list is known at once. A click becomes known later, when the
user leaves the page."""

PRIOR_RATE = 0.09
"""Click rate of an article that was never shown: about one click for each list of eleven. It is a constant, because a
rate from the data would contain information from after the request."""
PRIOR_WEIGHT = 20
"""Weight of the prior: as much as 20 exposures, about two lists. So a single early click does not give the highest
rate."""

LIST_COLUMNS = [
    *(f"{what}_{window}" for what in ("clicks", "ctr") for window in WINDOWS),
    *(f"listed_{window}" for window in LISTED),
    "user_exposures",
]
SERVED = [*LIST_COLUMNS, "age_h"]


@dataclass
class Ebnerd(Source):
    """EB-NeRD: a folder with `train/` and `validation/` (`behaviors.parquet`, `history.parquet`) and
    `article_features/`.

    Requests are the rows of both `behaviors.parquet`. The test period starts with the first row of `validation/`.
    """

    title: ClassVar[str] = "EB-NeRD"

    @cached_property
    def _bundle(self) -> Bundle:
        return read_bundle(self.folder)

    def head(self) -> LogsHead:
        return LogsHead(name="ebnerd", test_from=self._bundle.test_from)

    def items(self) -> pl.DataFrame:
        return self._bundle.items.with_columns(article=pl.col("item_id"))

    def read(self) -> Iterator[UserLogs]:
        listed = _listed(self._bundle)
        served = _Served(self._bundle, listed)
        listed = listed.hstack(served.of(listed))
        yield UserLogs(_events(self._bundle, listed, served), _requests(listed))


def _listed(bundle: Bundle) -> pl.DataFrame:
    """Return one row for each listed article, sorted by time, request and position in the list."""
    rows = bundle.lists.sort("time", "request_id").with_row_index("request").rename({"inview": "item_id"})
    clicks = (
        rows.select("request", item_id="clicked")
        .explode("item_id")
        .drop_nulls("item_id")
        .group_by("request", "item_id")
        .agg(click_count=pl.len().cast(pl.Int16))
    )
    listed = (
        rows.drop("clicked")
        .explode("item_id")
        .join(clicks, on=["request", "item_id"], how="left", maintain_order="left")
    )
    count = pl.col("click_count").fill_null(0)
    return listed.with_columns(click_count=count, clicked=(count > 0).cast(pl.Int8))


class _Served:
    """The served values: what the client and the server knew about an article when a list showed it."""

    def __init__(self, bundle: Bundle, listed: pl.DataFrame) -> None:
        clicked = listed.filter(pl.col("clicked") == 1)
        # Count only clicks in lists. The history also has articles that users opened outside of lists, and it stops
        # when the lists begin. With the history, the first day would have counts twice as large as later days.
        self._clicks = PastCounts(_ints(clicked, "item_id"), _ints(clicked, "ended"))
        # Exposures and clicks are counted when the page is left. Otherwise an open page would count as not clicked.
        self._shown = PastCounts(_ints(listed, "item_id"), _ints(listed, "ended"))
        self._listed = PastCounts(_ints(listed, "item_id"), _ints(listed, "time"))
        # The client knows at once that it showed an article. The duration becomes known later.
        self._shown_to = PastCounts(_pairs(listed), _ints(listed, "time"))
        both = pl.concat([listed.select("item_id", "time"), bundle.history.select("item_id", "time")])
        self._first = FirstSeen(_ints(both, "item_id"), _ints(both, "time"))

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the columns `SERVED` for rows with `user_id`, `item_id` and `time`, from data known before `time`."""
        items, times = _ints(rows, "item_id"), _ints(rows, "time")
        columns: dict[str, pl.Series] = {}
        for window, length in WINDOWS.items():
            clicks = self._clicks.within(items, times, window=length)
            shown = self._shown.within(items, times, window=length)
            rate = (clicks + PRIOR_WEIGHT * PRIOR_RATE) / (shown + PRIOR_WEIGHT)
            columns[f"clicks_{window}"] = pl.Series(clicks.astype(np.int32))
            columns[f"ctr_{window}"] = pl.Series(rate.astype(np.float32))
        for window, length in LISTED.items():
            columns[f"listed_{window}"] = pl.Series(self._listed.within(items, times, window=length).astype(np.int32))
        columns["user_exposures"] = pl.Series(self._shown_to.before(_pairs(rows), times).astype(np.int32))
        return pl.DataFrame(columns | {"age_h": self.age(items, times)}).select(SERVED)

    def age(self, items: Integers, times: Integers) -> pl.Series:
        """Return the hours from the article's first list or click to each of `times`, at least 0."""
        return pl.Series("age_h", (self._first.age(items, times) / HOUR_MS).astype(np.float32))


def _requests(listed: pl.DataFrame) -> pl.DataFrame:
    return (
        listed.group_by("request", maintain_order=True)
        .agg(
            pl.col("request_id", "user_id", "time").first(),
            pl.col("item_id", "clicked", "click_count", *SERVED),
        )
        .drop("request")
        .with_columns(trigger=pl.lit("page"), model_version=pl.lit(None, pl.String))
    )


def _events(bundle: Bundle, listed: pl.DataFrame, served: _Served) -> pl.DataFrame:
    """Return exposures and page-views, sorted by user, time, kind, page and position."""
    none = [pl.lit(None, listed.schema[name]).alias(name) for name in LIST_COLUMNS]
    history = bundle.history.with_columns(none).with_columns(
        served.age(_ints(bundle.history, "item_id"), _ints(bundle.history, "time"))
    )
    parts = [_exposures(listed), _page_views(bundle, served), _left(history, since="time")]
    events = pl.concat(parts, how="diagonal").with_row_index("order")
    events = events.sort("user_id", "kind", "time", "listed_at", "order")
    events = events.with_columns(time_decay_s=_decay(events))
    return events.sort("user_id", "time", "kind", "listed_at", "order").drop("order", "listed_at")


def _exposures(listed: pl.DataFrame) -> pl.DataFrame:
    pairs, ended = _pairs(listed), _ints(listed, "ended")
    return listed.select(
        "user_id",
        "item_id",
        *SERVED,
        time="ended",
        kind=pl.lit(EXPOSURE.name),
        listed_at="time",
        exposure_duration_s=pl.col("read_s").cast(pl.Float32),
        exposure_count=pl.Series((PastCounts(pairs, ended).before(pairs, ended) + 1).astype(np.int32)),
        scroll_percentage=pl.col("scroll").cast(pl.Float32),
    )


def _page_views(bundle: Bundle, served: _Served) -> pl.DataFrame:
    """Return one row for each article that was opened from a page. Several clicks on an article count as one."""
    views = (
        bundle.lists.sort("time", "request_id")
        .rename({"clicked": "item_id"})
        .explode("item_id")
        .drop_nulls("item_id")
        .unique(["request_id", "item_id"], keep="first", maintain_order=True)
    )
    # `next_read_time` belongs to the first clicked article. For the others, only the click is known.
    first = pl.col("request_id").is_first_distinct()
    views = views.hstack(served.of(views)).with_columns(
        read_s=pl.when(first).then(pl.col("next_read_s")), scroll=pl.when(first).then(pl.col("next_scroll"))
    )
    return _left(views, since="ended")


def _left(views: pl.DataFrame, *, since: str) -> pl.DataFrame:
    """Return page-views. Their time is when the user left the page: `read_s` seconds after the column `since`."""
    return views.select(
        "user_id",
        "item_id",
        *SERVED,
        time=pl.col(since) + (pl.col("read_s").fill_null(0) * 1000).round().cast(pl.Int64),
        kind=pl.lit(PAGE_VIEW.name),
        listed_at="time",
        page_duration_s=pl.col("read_s").cast(pl.Float32),
        scroll_depth=pl.col("scroll").cast(pl.Float32),
    )


def _decay(events: pl.DataFrame) -> pl.Series:
    """Return the seconds since the user's previous event of the same kind at an earlier time; null for the first.

    All exposures of a page have the same time, so they have the same decay.

    Args:
        events: events, sorted by user, kind and time.
    """
    same = (events["user_id"] == events["user_id"].shift()) & (events["kind"] == events["kind"].shift())
    same = same.fill_null(False)
    step = events["time"].diff()
    begins = ~same | (step != 0).fill_null(True)
    seconds: pl.Series = pl.select(pl.when(same).then(step / 1000)).to_series().cast(pl.Float32).filter(begins)
    instants = begins.to_numpy().cumsum() - 1
    return seconds.gather(instants)


def _ints(table: pl.DataFrame, column: str) -> Integers:
    return table[column].to_numpy().astype(np.int64, copy=False)


def _pairs(table: pl.DataFrame) -> Integers:
    return pair_keys(_ints(table, "user_id"), _ints(table, "item_id"))
