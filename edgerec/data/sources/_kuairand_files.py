"""Read and check the files of KuaiRand-Pure (short video): two splits by time. Repeated reports are merged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.casting import WHOLE, exact_cast
from edgerec.data.schema import MAX_TIME_MS
from edgerec.data.sources.columns import read_columns

EARLIER, LATER = "processed_splits_val.parquet", "processed_splits_test.parquet"
CATALOGUE = "KuaiRand-Pure_data_video_features_basic_pure.csv"

ACTIONS = ("like", "follow", "comment", "forward", "hate")
"""Actions of a viewer other than watching. Their columns in the source are `is_<action>`."""

FLAGS = ["is_click", *(f"is_{action}" for action in ACTIONS)]
LENGTHS = ["play_time_ms", "duration_ms"]
IMPRESSIONS: dict[str, pl.DataType] = {
    **dict.fromkeys(("user_id", "video_id", "time_ms"), pl.Int64()),
    **dict.fromkeys(FLAGS, pl.Int8()),
    **dict.fromkeys(LENGTHS, pl.Int64()),
}
VIDEOS: dict[str, pl.DataType] = {
    **dict.fromkeys(("video_id", "author_id"), pl.Int64()),
    **dict.fromkeys(("video_type", "upload_type", "tag"), pl.String()),
    **dict.fromkeys(("video_duration", "music_type"), pl.Float64()),
}
"""Attributes of a video that are known at its upload. Its statistics are not read, because they are totals of the whole
period."""

MAX_ID = 2**31 - 1
MAX_MS = 86_400_000
"""The longest valid play: one day."""


@dataclass(frozen=True)
class Slice:
    """The data that EdgeRec reads from KuaiRand. Times are milliseconds since 1970, durations are seconds.

    Attributes:
        impressions: one row for each shown video, sorted by user, time and video: `user_id`, `item_id`, `time`, `ended`
            (the end of the play: time_ms + play_time_ms), `play_s`, `play_share` (share of the video's length; null if
            the length is not known), `clicked` and `ACTIONS` (0 or 1).
        items: one row for each video: `item_id`, `author`, `tag` (the first one), `video_type`, `upload_type`,
            `music_type`, `video_duration_s`.
        earlier_until: the time of the last impression of the earlier split.
        duplicates: number of rows that repeated a user, video and time.
    """

    impressions: pl.DataFrame
    items: pl.DataFrame
    earlier_until: int
    duplicates: int


def read_slice(folder: Path) -> Slice:
    """Read the two splits and the catalogue of videos.

    One impression may be reported several times, with the same user, video and time, and sometimes with different
    outcomes. A later report may be in the other split. The reports become one row with the maximum of each outcome, so
    the result does not depend on the order of rows.

    Raises:
        LogsError: a file or column is missing, cannot be read, or contains an invalid value.
    """
    if not folder.is_dir():
        raise LogsError(f"KuaiRand: {folder} is not a folder: give the folder that holds {EARLIER} and {LATER}")
    earlier, later = (_impressions(folder / name) for name in (EARLIER, LATER))
    rows = pl.concat([earlier, later])
    once = rows.group_by("user_id", "video_id", "time_ms").agg(pl.col(*FLAGS, *LENGTHS).max())
    once = once.sort("user_id", "time_ms", "video_id")
    play, duration = pl.col("play_time_ms"), pl.col("duration_ms")
    impressions = once.select(
        user_id="user_id",
        item_id="video_id",
        time="time_ms",
        ended=pl.col("time_ms") + play,
        play_s=play / 1000,
        play_share=pl.when(duration > 0).then(play / duration),
        clicked="is_click",
        **{action: f"is_{action}" for action in ACTIONS},
    )
    return Slice(
        impressions=impressions,
        items=_items(folder / CATALOGUE, impressions["item_id"]),
        earlier_until=cast(int, earlier["time_ms"].max()),
        duplicates=len(rows) - len(once),
    )


def _impressions(path: Path) -> pl.DataFrame:
    table = _read(path, IMPRESSIONS)
    if not len(table):
        raise LogsError(f"KuaiRand: {path} has no rows: give a complete split")
    for column in IMPRESSIONS:
        if table[column].null_count():
            raise LogsError(
                f"KuaiRand: {path}: {column} has no value in {table[column].null_count()} rows; every row needs one"
            )
    _between(path, table, ("user_id", "video_id"), 0, MAX_ID)
    # A request is one millisecond before its first impression, and both have to be valid times of logs.
    _between(path, table, ("time_ms",), 1, MAX_TIME_MS - MAX_MS)
    _between(path, table, FLAGS, 0, 1)
    _between(path, table, LENGTHS, 0, MAX_MS)
    return table


def _items(path: Path, shown: pl.Series) -> pl.DataFrame:
    """Return all videos of the catalogue. Shown videos that it does not have are added without attributes."""
    table = _read(path, VIDEOS)
    # The music type is written as a number with decimals.
    table = exact_cast(table, {"music_type": pl.Int64()}, where=f"KuaiRand: {path}: ", floats=True)
    _between(path, table, ("video_id", "author_id"), 0, MAX_ID)
    twice = table.filter(pl.col("video_id").is_duplicated())["video_id"]
    if len(twice) or table["video_id"].null_count():
        raise LogsError(
            f"KuaiRand: {path}: video_id should be there and unique; received {twice[0] if len(twice) else None} "
            "more than once"
        )
    first = pl.col("tag").str.split(",").list.first().str.strip_chars()
    videos = table.select(
        item_id="video_id",
        author="author_id",
        tag=pl.when(first.str.contains(WHOLE)).then(first).cast(pl.Int64, strict=False),
        video_type="video_type",
        upload_type="upload_type",
        music_type="music_type",
        video_duration_s=pl.col("video_duration") / 1000,
    )
    wrong = table.filter(videos["tag"].is_null() & (pl.col("tag").fill_null("") != ""))["tag"]
    if len(wrong):
        raise LogsError(f"KuaiRand: {path}: tag should be whole numbers separated by commas; received {wrong[0]!r}")
    ids = pl.concat([videos["item_id"], shown]).unique().sort()
    return pl.DataFrame({"item_id": ids}).join(videos, on="item_id", how="left", maintain_order="left")


def _read(path: Path, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    return read_columns(path, columns, name="KuaiRand", whole="slice of KuaiRand-Pure")


def _between(path: Path, table: pl.DataFrame, columns: tuple[str, ...] | list[str], low: int, high: int) -> None:
    for column in columns:
        wrong = table.filter(~pl.col(column).is_between(low, high))[column]
        if len(wrong):
            raise LogsError(f"KuaiRand: {path}: {column} should be from {low} to {high}; received {wrong[0]}")
