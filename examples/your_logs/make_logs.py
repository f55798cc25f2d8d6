"""Turn the raw logs of a recipe feed into EdgeRec logs. docs/your-logs.md explains each step."""

from pathlib import Path

import polars as pl

from edgerec import Logs, LogsHead, hash_ids, load_spec, run_converter

FEATURES = Path(__file__).with_name("features.json")
OFFER = ["list", "item_id"]


def milliseconds(column: str) -> pl.Expr:
    """Turn a column of texts like 2024-03-04T17:12:58.374Z into milliseconds since 1970."""
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms").dt.epoch("ms")


def make_logs(source: Path) -> Logs:
    """Read the raw files in the folder `source` and return the three tables of logs."""
    # The diet stays a string (one-hot). The cuisine becomes an integer (embedding).
    items = pl.read_csv(source / "recipes.csv").select(
        "minutes", "diet", hash_ids("cuisine"), item_id=hash_ids("recipe")
    )
    # One row for each candidate of each list, in served order.
    offers = pl.read_csv(source / "lists.csv").with_columns(pl.col("recipes", "match").str.split(" "))
    offers = offers.explode("recipes", "match").select(
        pl.col("list", "reason"),
        pl.col("match").cast(pl.Float64),
        user_id=hash_ids("user"),
        item_id=hash_ids("recipes"),
        time=milliseconds("at"),
    )
    # The app writes when a behaviour began, but it is known only when it has ended. If the app was killed on a page,
    # the page has no duration, and nothing was measured after its beginning. Such a page is known from its beginning.
    ended = milliseconds("at") + (pl.col("seconds").fill_null(0) * 1000).round().cast(pl.Int64)
    behaviours = pl.read_csv(source / "actions.csv").select(
        pl.col("list", "hidden", "saved", "cook_mode"),
        user_id=hash_ids("user"),
        item_id=hash_ids("recipe"),
        time=ended,
        kind=pl.col("action").replace({"seen": "exposure", "opened": "page_view"}),
        seen_s=pl.when(action="seen").then("seconds"),
        page_s=pl.when(action="opened").then("seconds"),
    )
    # The app writes the list with each action, so each label goes to the right request. Search gives no label.
    clicked = (pl.col("kind") == "page_view").any().cast(pl.Int8).alias("clicked")
    labels = behaviours.drop_nulls("list").group_by(OFFER).agg(clicked)
    requests = (
        offers.join(labels, on=OFFER, how="left", maintain_order="left")
        .group_by("user_id", "time", request_id="list", trigger="reason", maintain_order=True)
        .agg("item_id", "clicked", "match")
        .filter(pl.col("clicked").list.drop_nulls().list.len() > 0)
        .with_columns(model_version=pl.lit(None, pl.String))
    )
    offered = offers.select(*OFFER, "match", offered_at="time")
    events = behaviours.join(offered, on=OFFER, how="left", maintain_order="left")
    return Logs(LogsHead(name="recipes"), load_spec(FEATURES), items, events, requests)


if __name__ == "__main__":
    run_converter(make_logs)
