"""Write the CSV file of the tutorial: impressions and clicks of a made-up shop. docs/tutorial.md explains it.

The users are those of `edgerec simulate`. So what they do depends on what they did just before, as in a real feed.
"""

import argparse
import tempfile
from pathlib import Path

import polars as pl

from edgerec.simulation.config import load_simulation_config
from edgerec.simulation.population import simulate

CATEGORIES = ["garden", "kitchen", "lamps", "office", "outdoor", "pets", "sports", "textiles", "tools", "toys"]


def impressions(logs: Path) -> pl.DataFrame:
    """Return one row for each card of each page, in the order in which the page was served."""
    items = pl.read_parquet(logs / "items.parquet").select(
        "item_id",
        product=pl.format("P-{}", pl.col("item_id").cast(pl.String).str.zfill(4)),
        category=pl.col("category").map_elements(lambda each: CATEGORIES[each % 10], return_dtype=pl.String),
        brand=pl.format("brand {}", "brand"),
        price=pl.col("price").round(2),
    )
    pages = pl.read_parquet(logs / "requests" / "*.parquet").filter(trigger="page")
    pages = pages.with_columns(position=pl.int_ranges(pl.col("item_id").list.len()))
    cards = pages.explode("item_id", "clicked", "score", "position")
    opened = pl.read_parquet(logs / "events" / "*.parquet").filter(kind="page_view", opened_from="feed")
    opened = opened.sort("time").select("user_id", "item_id", "time", seconds_on_page="page_duration_s")
    # A page-view belongs to the last page that showed its item.
    clicks = cards.filter(clicked=1).sort("time").select("request_id", "user_id", "item_id", "time")
    durations = opened.join_asof(clicks, on="time", by=["user_id", "item_id"], check_sortedness=False)
    durations = durations.group_by("request_id", "item_id").agg(pl.col("seconds_on_page").sum().round(1))
    cards = cards.join(durations, on=["request_id", "item_id"], how="left").join(items, on="item_id", how="left")
    return cards.sort("time", "request_id", "position").select(
        shown_at=pl.from_epoch("time", time_unit="ms").dt.strftime("%Y-%m-%d %H:%M:%S%.3f"),
        user=pl.format("u{}", pl.col("user_id").cast(pl.String).str.zfill(5)),
        list="request_id",
        position="position",
        product="product",
        category="category",
        brand="brand",
        price="price",
        score=pl.col("score").round(4),
        seen=pl.col("clicked").is_not_null().cast(pl.Int8),
        clicked=pl.col("clicked").fill_null(0),
        seconds_on_page=pl.when(clicked=1).then("seconds_on_page"),
    )


def main() -> None:
    """Read the command line and write OUT/impressions.csv."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder for impressions.csv")
    parser.add_argument("--users", type=int, default=1200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder, "logs")
        simulate(load_simulation_config(None, {"users": given.users}), logs, seed=1)
        rows = impressions(logs)
    given.out.mkdir(parents=True, exist_ok=True)
    rows.write_csv(given.out / "impressions.csv")
    clicks = rows["clicked"].sum()
    print(f"{given.out / 'impressions.csv'}: {len(rows):,} rows, {rows['user'].n_unique():,} users, {clicks:,} clicks")


if __name__ == "__main__":
    main()
