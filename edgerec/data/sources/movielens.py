"""MovieLens-100K (films): SOURCE is the wheel of recbole, or the folder that holds ml-100k.inter, .item and .user.

Up to ten films that a user rated one after the other become a request. A rating of 4 or 5 is a click.

Users have few ratings and different tastes, so these logs are for personalization. Most users rate all films in one
sitting, so the order of ratings counts, not their time. docs/formats.md explains these decisions; `movielens.json` is
the feature specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import LogsError
from edgerec.data.logs import LogsHead
from edgerec.data.sources._movielens_files import GENRES, Ratings, read_ratings
from edgerec.data.sources.source import Source, UserLogs
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

MAX_LIST = 10
"""The longest list."""
PAUSE_S = 3600
"""A list ends before a longer pause of its user."""
LIKED = 4
"""The lowest rating that is a click."""
TEST_TENTHS = 3
"""The test period begins when the last three tenths of the users begin."""
MAX_PER_SECOND = 499
"""A user's ratings of one second are two milliseconds apart, so that requests fit between them."""

Split = Literal["calendar", "users"]
CONTEXT = ("age", "gender", "occupation")


@dataclass
class Movielens(Source):
    """MovieLens-100K: the wheel of `recbole`, or a folder with its three files (`_movielens_files`).

    The test period begins when the last `TEST_TENTHS` tenths of the users begin. `left_out` in the notes is the number
    of ratings that the split `users` leaves out.

    Attributes:
        split: who is in the test period. `calendar`: everybody who rates then. `users`: only users who began then;
            lists of earlier users in the test period are left out.
    """

    title: ClassVar[str] = "MovieLens"

    split: Annotated[Split, "Test period: all of its lists (calendar), or only those of new users (users)."] = (
        "calendar"
    )

    @cached_property
    def _read(self) -> Ratings:
        return read_ratings(self.folder)

    @cached_property
    def _all(self) -> pl.DataFrame:
        return _listed(self._read.ratings)

    @cached_property
    def _test_from(self) -> int:
        begun = self._all.group_by("user_id").agg(pl.col("asked").min())["asked"].sort()
        return int(begun[len(begun) * (10 - TEST_TENTHS) // 10])

    @cached_property
    def _listed(self) -> pl.DataFrame:
        if self.split == "calendar":
            return self._all
        later = pl.col("asked") >= self._test_from
        return self._all.filter(~later | (pl.col("asked").min().over("user_id") >= self._test_from))

    def head(self) -> LogsHead:
        return LogsHead(name="movielens", test_from=self._test_from)

    def items(self) -> pl.DataFrame:
        return _items(self._read.films)

    def read(self) -> Iterator[UserLogs]:
        yield UserLogs(_events(self._listed), _requests(self._listed, self._read.users))

    def notes(self) -> dict[str, Any]:
        return {"left_out": len(self._all) - len(self._listed)}


def _listed(ratings: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each rating, with its list and its times, sorted by user and time.

    Ratings of one second stay in the order of the file. The times are in milliseconds: `time` of the rating, which is
    odd, and `asked` of the request, one millisecond before the first rating of the list. So a request knows all ratings
    of the lists before, and none of its own.
    """
    rows = ratings.sort("user_id", "second", maintain_order=True).with_columns(
        tie=pl.int_range(pl.len()).over("user_id", "second")
    )
    most = rows.row(int(rows["tie"].arg_max() or 0), named=True)
    if most["tie"] >= MAX_PER_SECOND:
        raise LogsError(
            f"MovieLens: user {most['user_id']} should have at most {MAX_PER_SECOND} ratings with one timestamp; "
            f"received more with {most['second']}: are the times of the ratings missing?"
        )
    pause = pl.col("second").diff().over("user_id")
    visit = (pause.is_null() | (pause > PAUSE_S)).cum_sum()
    rows = rows.with_columns(visit=visit, time=pl.col("second") * 1000 + 2 * pl.col("tie") + 1)
    chunk = pl.int_range(pl.len()).over("visit") // MAX_LIST
    return (
        rows.with_columns(list=pl.struct("visit", chunk.alias("chunk")).rle_id())
        .with_columns(asked=pl.col("time").first().over("list") - 1, clicked=(pl.col("rating") >= LIKED).cast(pl.Int8))
        .drop("second", "tie", "visit")
    )


def _requests(listed: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    # Which film the user rates first is not known at the request, so candidates are in a random order.
    shuffled = listed.with_columns(key=pl.Series(_keys(listed))).sort("list", "key")
    return (
        shuffled.group_by("list", maintain_order=True)
        .agg(pl.col("user_id").first(), pl.col("asked").first().alias("time"), pl.col("item_id", "clicked"))
        .join(users.select("user_id", *CONTEXT), on="user_id", how="left", maintain_order="left")
        .sort("time", "user_id")
        .drop("list")
        .with_row_index("request_id")
        .with_columns(
            pl.col("request_id").cast(pl.Int64), trigger=pl.lit("page"), model_version=pl.lit(None, pl.String)
        )
    )


def _keys(listed: pl.DataFrame) -> NDArray[np.uint64]:
    """Return a hash of each pair of user and film (SplitMix64, Steele et al., OOPSLA 2014). It never changes."""
    keys = listed["user_id"].to_numpy().astype(np.uint64) << np.uint64(32)
    keys = (keys | listed["item_id"].to_numpy().astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = keys ^ (keys >> np.uint64(31))
    return mixed


def _events(listed: pl.DataFrame) -> pl.DataFrame:
    """Return an exposure for each rating and a page-view for each film that the user liked, at the same time."""
    common = listed.select("user_id", "item_id", "time", "rating", "clicked", offered_at="asked")
    exposures = common.with_columns(kind=pl.lit(EXPOSURE.name))
    views = common.filter(pl.col("clicked") == 1).with_columns(kind=pl.lit(PAGE_VIEW.name))
    return pl.concat([exposures, views]).drop("clicked").sort("user_id", "time", "kind")


def _items(films: pl.DataFrame) -> pl.DataFrame:
    """Return the catalogue. `category` has a bit for each genre, so it is one number for each combination of genres."""
    flags = {genre: pl.col("genres").list.contains(genre).cast(pl.Int64) for genre in GENRES}
    category = pl.sum_horizontal([flag * 2**bit for bit, flag in enumerate(flags.values())], ignore_nulls=False)
    return films.select(
        "item_id",
        "year",
        film="item_id",
        category=category,
        **{genre_column(genre): flag.cast(pl.Int8) for genre, flag in flags.items()},
    )


def genre_column(genre: str) -> str:
    """Return the name of the column that says whether a film has the genre, such as `genre_sci_fi`."""
    return "genre_" + genre.lower().replace("-", "_").replace("'", "")
