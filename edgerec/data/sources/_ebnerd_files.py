"""Read and check the files of EB-NeRD (Ekstra Bladet news recommendation data set)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.sources.columns import read_columns

SPLITS = ("train", "validation")

BEHAVIORS: dict[str, pl.DataType] = {
    "impression_id": pl.Int64(),
    "user_id": pl.Int64(),
    "impression_time": pl.Datetime("ms"),
    "article_id": pl.Int64(),
    "read_time": pl.Float64(),
    "scroll_percentage": pl.Float64(),
    "article_ids_inview": pl.List(pl.Int64()),
    "article_ids_clicked": pl.List(pl.Int64()),
    "next_read_time": pl.Float64(),
    "next_scroll_percentage": pl.Float64(),
}
HISTORY: dict[str, pl.DataType] = {
    "user_id": pl.Int64(),
    "impression_time_fixed": pl.List(pl.Datetime("ms")),
    "scroll_percentage_fixed": pl.List(pl.Float64()),
    "article_id_fixed": pl.List(pl.Int64()),
    "read_time_fixed": pl.List(pl.Float64()),
}
LENGTH: dict[str, pl.DataType] = {"article_id": pl.Int64(), "article_length": pl.Int64()}
PREMIUM: dict[str, pl.DataType] = {"article_id": pl.Int64(), "premium": pl.Int64()}

MAX_ID = 2**31 - 1
MAX_SECONDS = 86_400
"""The longest valid time on one page: one day. EB-NeRD itself stops counting after half an hour."""


@dataclass(frozen=True)
class Bundle:
    """The data that EdgeRec reads from EB-NeRD. Times are milliseconds since 1970, durations are seconds.

    Attributes:
        lists: one row for each shown list: `request_id`, `user_id`, `time`, `ended` (the time when the user left the
            page: impression_time + read_time), `read_s`, `scroll`, `next_read_s`, `next_scroll`, `inview` and `clicked`
            (lists of articles).
        history: one row for each click before the first list: `user_id`, `time`, `item_id`, `read_s`, `scroll`.
        items: one row for each article: `item_id`, `article_length`, `premium`.
        test_from: the time of the first list of the validation week.
    """

    lists: pl.DataFrame
    history: pl.DataFrame
    items: pl.DataFrame
    test_from: int


def read_bundle(folder: Path) -> Bundle:
    """Read an EB-NeRD bundle: `train/`, `validation/` (behaviors, history) and `article_features/`.

    A click may be in the history of both splits. The validation history also covers the train week, and the clicks of
    that week are in the behaviors, too. Each click is read once: from the history if it is before the first list, and
    from the behaviors otherwise. Only the history has clicks outside of lists. If it were also read for the train week,
    that week would have four times as many clicks as the test week, and a model would learn from different logs.

    Raises:
        LogsError: a file or column is missing, cannot be read, or contains an invalid value.
    """
    if not folder.is_dir():
        raise LogsError(f"EB-NeRD: {folder} is not a folder: give the folder that holds {' and '.join(SPLITS)}")
    train, validation = (_lists(folder / split / "behaviors.parquet") for split in SPLITS)
    for split, table in zip(SPLITS, (train, validation), strict=True):
        if not len(table):
            raise LogsError(f"EB-NeRD: {folder / split / 'behaviors.parquet'} has no rows: give a complete bundle")
    last, first = cast(int, train["time"].max()), cast(int, validation["time"].min())
    if last >= first:
        raise LogsError(
            f"EB-NeRD: train should end before validation begins; its last request is at {last} ms, "
            f"the first one of validation at {first} ms: give splits by time"
        )
    lists = pl.concat([train, _distinct_request_ids(validation, train)])
    begin = lists["time"].min()
    history = pl.concat([_history(folder / split / "history.parquet") for split in SPLITS])
    history = history.filter(pl.col("time") < begin).unique(["user_id", "time", "item_id"], keep="first")
    history = history.sort("user_id", "time", "item_id")
    features = [
        _articles(folder / "article_features" / "article_length.parquet", LENGTH),
        _articles(folder / "article_features" / "premium_articles.parquet", PREMIUM),
    ]
    return Bundle(lists=lists, history=history, items=_items(lists, history, *features), test_from=first)


def _lists(path: Path) -> pl.DataFrame:
    table = _read(path, BEHAVIORS)
    for column in ("impression_id", "user_id", "impression_time", "article_ids_inview", "article_ids_clicked"):
        _filled(path, column, table[column])
    for column in ("article_ids_inview", "article_ids_clicked"):
        _identities(path, column, table.filter(pl.col(column).list.len() > 0)[column].explode())
    empty = table.filter(pl.col("article_ids_inview").list.len() == 0)
    if len(empty):
        raise LogsError(f"EB-NeRD: {path}: impression {empty['impression_id'][0]} lists no article")
    _identities(path, "user_id", table["user_id"])
    for column in ("read_time", "next_read_time"):
        _durations(path, column, table[column])
    time = pl.col("impression_time").dt.epoch("ms")
    return table.select(
        request_id="impression_id",
        user_id="user_id",
        time=time,
        ended=time + _milliseconds("read_time"),
        read_s="read_time",
        scroll="scroll_percentage",
        next_read_s="next_read_time",
        next_scroll="next_scroll_percentage",
        on_article=pl.col("article_id").is_not_null().cast(pl.Int8),
        inview="article_ids_inview",
        clicked="article_ids_clicked",
    )


def _history(path: Path) -> pl.DataFrame:
    table = _read(path, HISTORY)
    lists = [column for column in HISTORY if column != "user_id"]
    lengths = table.select(pl.col(lists).list.len())
    uneven = lengths.select(pl.any_horizontal(pl.col(lists[1:]) != pl.col(lists[0]))).to_series()
    if uneven.any():
        raise LogsError(f"EB-NeRD: {path}: the lists of user {table.filter(uneven)['user_id'][0]} differ in length")
    table = table.filter(pl.col(lists[0]).list.len() > 0).explode(lists)
    for column in ("user_id", "impression_time_fixed", "article_id_fixed"):
        _filled(path, column, table[column])
    for column in ("user_id", "article_id_fixed"):
        _identities(path, column, table[column])
    _durations(path, "read_time_fixed", table["read_time_fixed"])
    return table.select(
        user_id="user_id",
        time=pl.col("impression_time_fixed").dt.epoch("ms"),
        item_id="article_id_fixed",
        read_s="read_time_fixed",
        scroll="scroll_percentage_fixed",
    )


def _articles(path: Path, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    table = _read(path, columns)
    twice = table.filter(pl.col("article_id").is_duplicated())["article_id"]
    if len(twice):
        raise LogsError(f"EB-NeRD: {path}: article_id should be unique; {twice[0]} occurs more than once")
    return table


def _items(lists: pl.DataFrame, history: pl.DataFrame, length: pl.DataFrame, premium: pl.DataFrame) -> pl.DataFrame:
    named = [lists["inview"].explode(), lists["clicked"].explode(), history["item_id"]]
    named += [length["article_id"], premium["article_id"]]
    ids = pl.concat([series.rename("item_id") for series in named]).drop_nulls().unique().sort()
    table = pl.DataFrame({"item_id": ids})
    for feature in (length, premium):
        table = table.join(feature, left_on="item_id", right_on="article_id", how="left", maintain_order="left")
    return table


def _distinct_request_ids(validation: pl.DataFrame, train: pl.DataFrame) -> pl.DataFrame:
    """Return `validation` with request IDs that `train` does not have. If they overlap, a constant is added to all."""
    if not validation["request_id"].is_in(train["request_id"].implode()).any():
        return validation
    return validation.with_columns(pl.col("request_id") + 1 + cast(int, train["request_id"].max()))


def _milliseconds(column: str) -> pl.Expr:
    return (pl.col(column).fill_null(0) * 1000).round().cast(pl.Int64)


def _read(path: Path, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    return read_columns(path, columns, name="EB-NeRD", whole="EB-NeRD bundle")


def _filled(path: Path, column: str, values: pl.Series) -> None:
    if values.null_count():
        raise LogsError(f"EB-NeRD: {path}: {column} has no value in {values.null_count()} rows; every row needs one")


def _identities(path: Path, column: str, values: pl.Series) -> None:
    wrong = values.filter(values.is_null() | ~values.is_between(0, MAX_ID))
    if len(wrong):
        raise LogsError(f"EB-NeRD: {path}: {column} should hold IDs from 0 to {MAX_ID}; received {wrong[0]}")


def _durations(path: Path, column: str, values: pl.Series) -> None:
    wrong = values.filter(values.is_not_null() & ~(values.is_finite() & values.is_between(0, MAX_SECONDS)))
    if len(wrong):
        raise LogsError(
            f"EB-NeRD: {path}: {column} should be seconds from 0 to {MAX_SECONDS} (a day), or null; received {wrong[0]}"
        )
