"""Read and check the files of MovieLens-100K in RecBole's format, from a folder or from the wheel of `recbole`.

A wheel is a zip file. Only the three members are read, by their exact names, and no more bytes than `MAX_BYTES` of
each. Nothing is extracted to the disk.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edgerec.core.errors import LogsError, first_line
from edgerec.data.casting import exact_cast
from edgerec.data.parts import POLARS_FAULTS
from edgerec.data.schema import MAX_TIME_MS

INTER, ITEM, USER = "ml-100k.inter", "ml-100k.item", "ml-100k.user"
"""The files: ratings, films and users. Columns are separated by tabs; the first line names them, as `name:type`."""
MEMBERS = "recbole/dataset_example/ml-100k/"
"""The folder of the files in the wheel of `recbole`."""

RATINGS: dict[str, pl.DataType] = {
    "user_id:token": pl.Int64(),
    "item_id:token": pl.Int64(),
    "rating:float": pl.Float64(),
    "timestamp:float": pl.Float64(),
}
FILMS: dict[str, pl.DataType] = {
    "item_id:token": pl.Int64(),
    "release_year:token": pl.String(),
    "class:token_seq": pl.String(),
}
USERS: dict[str, pl.DataType] = {
    "user_id:token": pl.Int64(),
    "age:token": pl.Int64(),
    "gender:token": pl.String(),
    "occupation:token": pl.String(),
}

GENRES = (
    *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
NO_GENRE = "unknown"

MAX_ID = 2**31 - 1
MAX_AGE = 150
MAX_SECOND = MAX_TIME_MS // 1000 - 1
MAX_BYTES = 64 << 20
"""The largest file. The largest one of MovieLens-100K has 2 MB."""
MAX_WHEEL = 256 << 20
"""The largest wheel."""

ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
"""Errors that `zipfile` raises for a damaged, encrypted or unusual file."""


@dataclass(frozen=True)
class Ratings:
    """The data that EdgeRec reads from MovieLens-100K.

    Attributes:
        ratings: one row for each rating, in the order of the file: `user_id`, `item_id`, `rating` (1 to 5), `second`
            (since 1970).
        films: one row for each film, by `item_id`: `year` (null if unknown), `genres` (list of strings; null if
            unknown).
        users: one row for each user with a rating, by `user_id`: `age`, `gender`, `occupation`. They are null if the
            file of users does not have the user.
    """

    ratings: pl.DataFrame
    films: pl.DataFrame
    users: pl.DataFrame


def read_ratings(source: Path) -> Ratings:
    """Read the three files from the folder or the wheel `source`.

    Raises:
        LogsError: a file or column is missing, cannot be read, is too large, or contains an invalid value.
    """
    if not (source.is_dir() or source.is_file()):
        raise LogsError(
            f"MovieLens: {source} is neither a file nor a folder: give the wheel of recbole, or the folder with {INTER}"
        )
    texts = _from_folder(source) if source.is_dir() else _from_wheel(source)
    ratings = _ratings(f"{source}: {INTER}", texts[INTER])
    return Ratings(
        ratings=ratings,
        films=_films(f"{source}: {ITEM}", texts[ITEM], ratings["item_id"]),
        users=_users(f"{source}: {USER}", texts[USER], ratings["user_id"]),
    )


def _from_folder(folder: Path) -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    for name in (INTER, ITEM, USER):
        path = folder / name
        if not path.is_file():
            raise LogsError(f"MovieLens: {path} does not exist: give the folder with {INTER}, {ITEM} and {USER}")
        try:
            with path.open("rb") as file:
                texts[name] = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise LogsError(f"MovieLens: {path} cannot be read ({error.strerror}): check its permissions") from None
        _check_size(str(path), len(texts[name]))
    return texts


def _from_wheel(wheel: Path) -> dict[str, bytes]:
    """Read the members of the wheel. A size that the wheel claims is not believed: reading stops after `MAX_BYTES`."""
    again = "download it again with `pip download recbole --no-deps`"
    texts: dict[str, bytes] = {}
    try:
        if wheel.stat().st_size > MAX_WHEEL:
            raise LogsError(f"MovieLens: {wheel} should have at most {MAX_WHEEL} bytes: give the wheel of recbole")
        with wheel.open("rb") as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            for name in (INTER, ITEM, USER):
                if names.count(MEMBERS + name) != 1:
                    raise LogsError(
                        f"MovieLens: {wheel} should have {MEMBERS}{name} once; it has it {names.count(MEMBERS + name)} "
                        f"times: {again}"
                    )
                packed = archive.getinfo(MEMBERS + name)
                if packed.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise zipfile.BadZipFile(f"compression {packed.compress_type} of {name}")
                with archive.open(packed) as member:
                    texts[name] = member.read(MAX_BYTES + 1)
                _check_size(f"{wheel}: {name}", len(texts[name]))
    except ZIP_FAULTS as error:
        raise LogsError(f"MovieLens: {wheel} cannot be read as a wheel ({first_line(error)}): {again}") from None
    return texts


def _check_size(where: str, size: int) -> None:
    if size > MAX_BYTES:
        raise LogsError(f"MovieLens: {where} should have at most {MAX_BYTES} bytes; received more: is it another file?")


def _ratings(where: str, text: bytes) -> pl.DataFrame:
    table = _table(where, text, RATINGS)
    if not len(table):
        raise LogsError(f"MovieLens: {where} has no rows: give a complete file")
    # RecBole writes whole numbers in these two columns; `3.0` is accepted, and `3.5` refused.
    table = exact_cast(
        table, {"rating:float": pl.Int64(), "timestamp:float": pl.Int64()}, where=f"MovieLens: {where}: ", floats=True
    )
    _between(where, table, "user_id:token", 0, MAX_ID)
    _between(where, table, "item_id:token", 0, MAX_ID)
    _between(where, table, "rating:float", 1, 5)
    _between(where, table, "timestamp:float", 0, MAX_SECOND)
    twice = table.filter(pl.struct("user_id:token", "item_id:token").is_duplicated())
    if len(twice):
        user, film = twice.row(0)[:2]
        raise LogsError(f"MovieLens: {where}: user {user} rates film {film} twice; a user rates a film once")
    return table.select(
        user_id="user_id:token",
        item_id="item_id:token",
        rating=pl.col("rating:float").cast(pl.Int8),
        second="timestamp:float",
    )


def _films(where: str, text: bytes, rated: pl.Series) -> pl.DataFrame:
    """Return all films of the file. Rated films that it does not have are added without attributes."""
    table = _table(where, text, FILMS)
    _unique(where, table, "item_id:token")
    genres = pl.col("class:token_seq").str.split(" ")
    year = pl.col("release_year:token")
    films = table.select(
        item_id="item_id:token",
        # Two films have a text in place of the year.
        year=pl.when(year.str.contains(r"^[12][0-9]{3}$")).then(year).cast(pl.Int64, strict=False),
        genres=pl.when(pl.col("class:token_seq") != NO_GENRE).then(genres),
    )
    others = films["genres"].explode().drop_nulls().unique().sort()
    others = others.filter(~others.is_in(GENRES))
    if len(others):
        raise LogsError(
            f"MovieLens: {where}: class:token_seq should have genres of {', '.join(GENRES)}, or {NO_GENRE}, separated "
            f"by spaces; received {others[0][:80]!r}"
        )
    return _all(films, rated)


def _users(where: str, text: bytes, rated: pl.Series) -> pl.DataFrame:
    table = _table(where, text, USERS)
    _unique(where, table, "user_id:token")
    _between(where, table, "age:token", 0, MAX_AGE)
    return _all(table.rename(lambda name: name.partition(":")[0]), rated, only=True)


def _all(table: pl.DataFrame, rated: pl.Series, *, only: bool = False) -> pl.DataFrame:
    """Return `table` with a row for each of the `rated` IDs, and, without `only`, its other rows. IDs ascend."""
    ids = rated.unique() if only else pl.concat([table[rated.name], rated]).unique()
    return pl.DataFrame({rated.name: ids.sort()}).join(table, on=rated.name, how="left", maintain_order="left")


def _table(where: str, text: bytes, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """Return `columns` of a file. Every row has a value in each of them."""
    try:
        # Titles may contain quotes, which mean nothing in this format.
        table = pl.read_csv(io.BytesIO(text), separator="\t", quote_char=None, infer_schema=False)
    except POLARS_FAULTS as error:
        reason = first_line(error)
        raise LogsError(f"MovieLens: {where} cannot be read as a table ({reason}): is it damaged?") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        shown = ", ".join(table.columns)[:200]
        raise LogsError(f"MovieLens: {where} has no column {missing[0]!r}; it has: {shown}")
    table = table.select(list(columns))
    for column in columns:
        if table[column].null_count():
            row = int(table[column].is_null().arg_max() or 0) + 1
            raise LogsError(f"MovieLens: {where}: {column} has no value in row {row}; every row needs one")
    return exact_cast(table, columns, where=f"MovieLens: {where}: ", text=True)


def _between(where: str, table: pl.DataFrame, column: str, low: int, high: int) -> None:
    wrong = table.filter(~pl.col(column).is_between(low, high))[column]
    if len(wrong):
        raise LogsError(f"MovieLens: {where}: {column} should be from {low} to {high}; received {wrong[0]}")


def _unique(where: str, table: pl.DataFrame, column: str) -> None:
    _between(where, table, column, 0, MAX_ID)
    twice = table.filter(pl.col(column).is_duplicated())[column]
    if len(twice):
        raise LogsError(f"MovieLens: {where}: {column} should be unique; received {twice[0]} more than once")
