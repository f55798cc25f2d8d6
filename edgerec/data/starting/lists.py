"""Which impressions were one list: from an ID, from equal times, or from gaps between the times of a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

GAP_S = 1800
"""A longer pause of a user begins a new list, if nothing else says what a list is."""
LENGTH = 20
"""Such lists have at most this number of items."""
MAX_CANDIDATES = 100
"""Default of `edgerec samples --candidates`."""
_SORTED = 0.9

Key = Literal["list", "user", "time"]


@dataclass(frozen=True)
class Lists:
    """How the rows of a table become lists.

    Attributes:
        key: what the rows of a list have in common. If it is empty, lists are cut at gaps of a user's times.
        why: the same in words.
        number: number of lists in the rows that were read.
        longest: number of items in the longest one.
        sure: whether the table has an ID for each list.
        checks: what the user should check.
    """

    key: tuple[Key, ...]
    why: str
    number: int
    longest: int
    sure: bool
    checks: tuple[str, ...]

    @property
    def by_gaps(self) -> bool:
        return not self.key


def find_lists(rows: pl.DataFrame) -> tuple[Lists, pl.Series]:
    """Return how lists are made, and the number of each row's list.

    Args:
        rows: `user`, `item`, `time` in milliseconds, and, if there is one, `list`; in the order of the file or of the
            column of places.
    """
    key: tuple[Key, ...] = ("list",) if "list" in rows.columns else ("user", "time")
    checks: list[str] = []
    sure = "list" in rows.columns
    why = "rows with the same ID are a list"
    if sure:
        key, why, more = _refined(rows)
        checks += more
    elif _items_a_list(rows, ("user", "time")) >= 2:
        why = "rows of a user with the same time are a list"
        checks.append("no column has the ID of a list, so rows of a user with the same time are one: --list COLUMN")
    else:
        key, why = (), f"a list ends after a pause of {GAP_S // 60} minutes, or after {LENGTH} items"
        checks.append(
            f"no column has the ID of a list, and times differ. So a list ends after a pause of {GAP_S // 60} minutes "
            f"or after {LENGTH} items. It is better to know what was shown together: --list COLUMN"
        )
    numbers = _by_gaps(rows) if not key else rows.select(pl.struct(key).rank("dense"))[:, 0].cast(pl.Int64)
    lengths = rows.select("item", number=numbers).unique().group_by("number").len()["len"]
    longest = int(lengths.max() or 0)  # type: ignore[arg-type]
    if longest > MAX_CANDIDATES:
        checks.append(
            f"a list has {longest:,} items: pass --candidates {longest} to edgerec samples, or name another column "
            "with --list"
        )
    if float(lengths.mean() or 0) < 1.5:  # type: ignore[arg-type]
        checks.append("most lists have one item, so there is no order to learn: name another column with --list")
    return Lists(key, why, len(lengths), longest, sure, tuple(checks)), numbers


def _items_a_list(rows: pl.DataFrame, key: tuple[Key, ...]) -> float:
    return len(rows) / max(int(rows.select(pl.struct(key).n_unique()).item()), 1)


def _refined(rows: pl.DataFrame) -> tuple[tuple[Key, ...], str, list[str]]:
    """Return the key of lists that have an ID. The same ID may be of several users, or of several pages of a visit."""
    users = rows.group_by("list").agg(pl.col("user").n_unique())["user"]
    if (users > 1).any():
        text = "lists of several users have the same ID, so a list is an ID and a user"
        return ("list", "user"), "rows with the same ID and user are a list", [text]
    several = rows.group_by("list").agg(pl.col("time").n_unique())["time"].mean()
    if float(several or 0) > 1.2 and _items_a_list(rows, ("list", "time")) >= 2:  # type: ignore[arg-type]
        text = "an ID has several times, each with several items, so a list is an ID and a time"
        return ("list", "time"), "rows with the same ID and time are a list", [text]
    return ("list",), "rows with the same ID are a list", []


def _by_gaps(rows: pl.DataFrame) -> pl.Series:
    ordered = rows.select("user", "time").with_row_index("row").sort("user", "time", maintain_order=True)
    new = (pl.col("time").diff() > GAP_S * 1000).fill_null(True).over("user")
    ordered = ordered.with_columns(new=new).with_columns(visit=pl.col("new").cum_sum().over("user"))
    place = pl.int_range(pl.len()).over("user", "visit")
    ordered = ordered.with_columns(part=place // LENGTH)
    numbers = ordered.select("row", number=pl.struct("user", "visit", "part").rank("dense"))
    in_order: pl.Series = numbers.sort("row")["number"].cast(pl.Int64)
    return in_order


def sorted_by_clicks(clicked: pl.Series, numbers: pl.Series) -> list[str]:
    """Return a warning if clicked items are almost always first, or almost always last, in long lists.

    Args:
        clicked: whether each row was clicked; null: unknown.
        numbers: the number of each row's list.
    """
    rows = pl.DataFrame({"clicked": clicked, "number": numbers})
    first, last, lists = 0, 0, 0
    for labels in rows.group_by("number", maintain_order=True).agg("clicked")["clicked"].head(5000):
        values = np.array([bool(each) for each in labels])
        number = int(values.sum())
        if len(values) >= 4 and 0 < number <= len(values) // 2:
            lists += 1
            first += bool(values[:number].all())
            last += bool(values[-number:].all())
    if lists >= 10 and max(first, last) >= _SORTED * lists:
        where = "first" if first > last else "last"
        return [
            f"clicked items are almost always {where} in their list. The file is probably sorted by clicks and not by "
            'the served order: name the column of places with --position, or see docs/your-logs.md, "Label leakage"'
        ]
    return []
