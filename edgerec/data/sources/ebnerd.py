"""EB-NeRD (news, Ekstra Bladet): SOURCE is the folder that holds train/ and validation/.

Lists of news articles become requests. When the user leaves a page, it becomes behaviours.

Each row contains only what was known at its time. A click on a list becomes known when the user leaves the page of the
list (impression_time + read_time). The reading time becomes known when the user leaves the article (next_read_time
later). docs/formats.md names the columns. `ebnerd.json` is the feature specification; it says how counts and rates are
computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl

from edgerec.data.as_of.past_events import PastEvents, pair_keys
from edgerec.data.as_of.timeline import Integers
from edgerec.data.logs import LogsHead
from edgerec.data.sources._ebnerd_files import Bundle, read_bundle
from edgerec.data.sources.source import Source, UserLogs
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

HOUR_MS = 3_600_000


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
        ages = _Ages(self._bundle, listed)
        listed = listed.with_columns(ages.of(listed))
        yield UserLogs(_events(self._bundle, listed, ages), _requests(listed))


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


class _Ages:
    """The ages of articles. They also count clicks of the history, which have an age but no counts."""

    def __init__(self, bundle: Bundle, listed: pl.DataFrame) -> None:
        both = pl.concat([listed.select("item_id", "time"), bundle.history.select("item_id", "time")])
        self._past = PastEvents(_ints(both, "item_id"), _ints(both, "time"))

    def of(self, rows: pl.DataFrame) -> pl.Series:
        """Return the hours from the article's first list or click to the `time` of each row, at least 0."""
        ages = self._past.at(_ints(rows, "item_id"), _ints(rows, "time")).since_first()
        return pl.Series("age_h", (ages / HOUR_MS).astype(np.float32))


def _requests(listed: pl.DataFrame) -> pl.DataFrame:
    return (
        listed.group_by("request", maintain_order=True)
        .agg(
            pl.col("request_id", "user_id", "time", "on_article").first(),
            pl.col("item_id", "clicked", "click_count", "age_h"),
        )
        .drop("request")
        .with_columns(trigger=pl.lit("page"), model_version=pl.lit(None, pl.String))
    )


def _events(bundle: Bundle, listed: pl.DataFrame, ages: _Ages) -> pl.DataFrame:
    """Return exposures and page-views, sorted by user, time, kind, page and position."""
    history = bundle.history.with_columns(ages.of(bundle.history), offered_at=pl.lit(None, pl.Int64))
    views = _page_views(bundle).with_columns(offered_at="time")
    views = views.with_columns(ages.of(views))
    parts = [_exposures(listed), _left(views, since="ended"), _left(history, since="time")]
    events = pl.concat(parts, how="diagonal").with_row_index("order")
    return events.sort("user_id", "time", "kind", "listed_at", "order").drop("order", "listed_at")


def _exposures(listed: pl.DataFrame) -> pl.DataFrame:
    pairs, ended = _pairs(listed), _ints(listed, "ended")
    return listed.select(
        "user_id",
        "item_id",
        "clicked",
        "age_h",
        time="ended",
        offered_at="time",
        kind=pl.lit(EXPOSURE.name),
        listed_at="time",
        expected_clicks=(1 / pl.len().over("request")).cast(pl.Float32),
        exposure_duration_s=pl.col("read_s").cast(pl.Float32),
        exposure_count=pl.Series((PastEvents(pairs, ended).at(pairs, ended).count() + 1).astype(np.int32)),
        scroll_percentage=pl.col("scroll").cast(pl.Float32),
    )


def _page_views(bundle: Bundle) -> pl.DataFrame:
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
    return views.with_columns(
        read_s=pl.when(first).then(pl.col("next_read_s")), scroll=pl.when(first).then(pl.col("next_scroll"))
    )


def _left(views: pl.DataFrame, *, since: str) -> pl.DataFrame:
    """Return page-views. Their time is when the user left the page: `read_s` seconds after the column `since`."""
    return views.select(
        "user_id",
        "item_id",
        "age_h",
        "offered_at",
        time=pl.col(since) + (pl.col("read_s").fill_null(0) * 1000).round().cast(pl.Int64),
        kind=pl.lit(PAGE_VIEW.name),
        listed_at="time",
        page_duration_s=pl.col("read_s").cast(pl.Float32),
        scroll_depth=pl.col("scroll").cast(pl.Float32),
    )


def _ints(table: pl.DataFrame, column: str) -> Integers:
    return table[column].to_numpy().astype(np.int64, copy=False)


def _pairs(table: pl.DataFrame) -> Integers:
    return pair_keys(_ints(table, "user_id"), _ints(table, "item_id"))
