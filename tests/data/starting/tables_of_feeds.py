"""Small tables of impressions and clicks, with the columns of different apps and data sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

FIRST = datetime(2024, 3, 4, 17, 0, 0, tzinfo=timezone.utc)
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Shown:
    """One impression of the made-up feed from which all tables are made."""

    list: int
    user: int
    item: int
    place: int
    time: int
    clicked: bool


def impressions(*, lists: int = 60, length: int = 6, users: int = 8, items: int = 25, seed: int = 3) -> list[Shown]:
    """Return impressions in order of time. Each list has one user and different items."""
    rng = np.random.default_rng(seed)
    start = round(FIRST.timestamp() * 1000)
    rows = []
    for number in range(lists):
        time = start + number * 37 * MINUTE_MS
        user = int(rng.integers(users))
        for place, item in enumerate(rng.choice(items, length, replace=False).tolist()):
            rows.append(Shown(1000 + number, user, item, place, time, bool(rng.random() < 0.35 - 0.04 * place)))
    return rows


def text_time(time: int, written: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a time in milliseconds as text, in UTC."""
    return (datetime(1970, 1, 1) + timedelta(milliseconds=time)).strftime(written)


@dataclass(frozen=True)
class Case:
    """A table with its names, and what should be found in it."""

    columns: dict[str, list[Any]]
    roles: dict[str, str]
    lists: str = "rows with the same ID are a list"
    left_out: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()
    kind: str = "csv"
    more: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        path = folder / f"shown.{self.kind}"
        table = pl.DataFrame(self.columns, strict=False)
        if self.kind == "parquet":
            table.write_parquet(path)
        else:
            table.write_csv(path, separator={"csv": ",", "tsv": "\t"}[self.kind])
        return path


ROWS = impressions()
RNG = np.random.default_rng(5)
APART = [row.time + row.place * 1000 for row in ROWS]
CASES = {
    "a shop": Case(
        {
            "impression_id": [row.list for row in ROWS],
            "shown_at": [text_time(row.time, "%Y-%m-%dT%H:%M:%SZ") for row in ROWS],
            "customerId": [f"c-{row.user}" for row in ROWS],
            "sku": [f"S{row.item}" for row in ROWS],
            "pos": [row.place for row in ROWS],
            "category": [("tea", "soap", "lamps")[row.item % 3] for row in ROWS],
            "price": [10 + row.item * 3.5 for row in ROWS],
            "model_score": [0.9 - row.place / 10 for row in ROWS],
            "device": [("phone", "tablet")[row.list % 2] for row in ROWS],
            "is_clicked": [int(row.clicked) for row in ROWS],
            "dwell_ms": [40_000 + row.item if row.clicked else None for row in ROWS],
            "purchased": [int(row.clicked and row.item % 2) for row in ROWS],
        },
        {
            "list": "impression_id", "time": "shown_at", "user": "customerId", "item": "sku", "position": "pos",
            "clicked": "is_clicked", "dwell": "dwell_ms", "score": "model_score",
        },
        more={
            "p_category": "one_hot", "p_price": "bucketize", "c_device": "one_hot", "d_purchased": "binarize",
            "p7_score": "raw",
        },
    ),
    "MovieLens": Case(
        {
            "userId": [row.user for row in ROWS],
            "movieId": [row.item for row in ROWS],
            "rating": [float(4 + row.item % 2 if row.clicked else 1 + row.item % 3) for row in ROWS],
            "timestamp": [row.time // 1000 + row.place for row in ROWS],
        },
        {"user": "userId", "item": "movieId", "clicked": "rating", "time": "timestamp"},
        lists="a list ends after a pause of 30 minutes, or after 20 items",
    ),
    "Taobao": Case(
        {
            "user": [row.user for row in ROWS],
            "time_stamp": [row.time // 1000 for row in ROWS],
            "adgroup_id": [row.item for row in ROWS],
            "pid": [f"43054{row.list % 2}_1007" for row in ROWS],
            "nonclk": [int(not row.clicked) for row in ROWS],
            "clk": [int(row.clicked) for row in ROWS],
        },
        {"user": "user", "time": "time_stamp", "item": "adgroup_id", "clicked": "clk"},
        lists="rows of a user with the same time are a list",
        left_out=frozenset({"nonclk"}),
        kind="tsv",
    ),
    "EB-NeRD": Case(
        {
            "impression_id": [row.list for row in ROWS],
            "user_id": [row.user for row in ROWS],
            "article_id": [row.item for row in ROWS],
            "impression_time": [datetime(1970, 1, 1) + timedelta(milliseconds=row.time) for row in ROWS],
            "read_time": [float(20 + row.item) if row.clicked else None for row in ROWS],
            "scroll_percentage": [float(row.item * 4) if row.clicked else None for row in ROWS],
            "session_id": [row.list // 2 for row in ROWS],
            "clicked": [row.clicked for row in ROWS],
        },
        {
            "list": "impression_id", "user": "user_id", "item": "article_id", "time": "impression_time",
            "dwell": "read_time", "clicked": "clicked",
        },
        kind="parquet",
        more={"d_scroll_percentage": "bucketize"},
    ),
    "stories": Case(
        {
            "visitor": [f"v{row.user}" for row in ROWS],
            "ts": [float(row.time) / 1000 + row.place for row in ROWS],
            "request": [f"r{row.list}" for row in ROWS],
            "story": [f"n{row.item}" for row in ROWS],
            "rank": [row.place + 1 for row in ROWS],
            "viewable": ["true" if row.place < 4 else "false" for row in ROWS],
            "opened": ["yes" if row.clicked and row.place < 4 else "no" for row in ROWS],
        },
        {
            "user": "visitor", "time": "ts", "list": "request", "item": "story", "position": "rank", "seen": "viewable",
            "clicked": "opened",
        },
        options=("--item", "story"),
    ),
    "labels of visits": Case(
        {
            "session_id": [row.list // 3 * 10 + row.user for row in ROWS],
            "uid": [row.user for row in ROWS],
            "iid": [row.item for row in ROWS],
            "date": [text_time(row.time, "%d/%m/%Y %H:%M:%S") for row in ROWS],
            "label": [int(row.clicked) for row in ROWS],
        },
        {"list": "session_id", "user": "uid", "item": "iid", "time": "date", "clicked": "label"},
        lists="rows with the same ID are a list",
    ),
}  # fmt: skip
