"""Turn simulated logs into logs of devices: with stores and ordinals, with lost rows, and with two stores a user."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl

from tests.synthetic import unstamp

WHOLE, GAPS, TWO_STORES = range(3)
"""What happens to a user's logs, by the user's rank modulo 3."""


def write_hard_histories(source: Path, out: Path, *, seed: int = 1) -> dict[str, int]:
    """Write the logs `source` to `out` with `store_id` and `ordinal`.

    A third of the users keeps all rows. A third has lost pages: of each five pages in a row, one is missing with its
    requests and behaviours, as if a device had dropped unsent rows. A third has used two devices in turns.

    Args:
        source: logs with `page_id`.
        out: the folder to write.
        seed: seed of the random choices.

    Returns:
        The number of users of each sort, and the largest number of behaviours of a user.
    """
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("truth", "part-*"))
    unstamp(out)
    events, requests = (pl.read_parquet(source / table / "*.parquet") for table in ("events", "requests"))
    users = events["user_id"].unique().sort()
    order = np.random.default_rng(seed).permutation(len(users))
    sort = pl.DataFrame({"user_id": users, "sort": order % 3})
    # A page and all that follows it until the next page is one unit: it is lost as a whole, or happens on one device.
    pages = requests.group_by("user_id", "page_id").agg(pl.col("time").min()).sort("user_id", "time")
    pages = pages.with_columns(unit=pl.int_range(pl.len()).over("user_id"))
    opened = pages.select("user_id", "time", "unit")
    events = _by_time(events, opened).with_columns(pl.col("unit").fill_null(0)).join(sort, on="user_id")
    requests = requests.join(pages.drop("time"), on=["user_id", "page_id"]).join(sort, on="user_id")
    two = (pl.col("sort") == TWO_STORES) & (pl.col("unit") % 4 >= 2)
    store = pl.col("user_id") * 2 + two.cast(pl.Int64)
    kept = (pl.col("sort") != GAPS) | (pl.col("unit") % 5 != 3)
    number = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id", "store_id", "kind")
    events = events.with_columns(store_id=store).with_columns(ordinal=number).filter(kept)
    requests = requests.with_columns(store_id=store).filter(kept)
    for name, table in (("events", events), ("requests", requests)):
        table.drop("unit", "sort").write_parquet(out / name / "part-00000.parquet")
    counts = {name: int((sort["sort"] == code).sum()) for name, code in (("whole", 0), ("gaps", 1), ("two_stores", 2))}
    return counts | {"longest": int(events.group_by("user_id").len()["len"].max() or 0)}  # type: ignore[arg-type]


def _by_time(events: pl.DataFrame, opened: pl.DataFrame) -> pl.DataFrame:
    """Return the events with the unit of the last page that was opened before each."""
    events = events.sort("user_id", "time", maintain_order=True)
    return events.join_asof(
        opened.sort("user_id", "time"), on="time", by="user_id", strategy="backward", check_sortedness=False
    )
