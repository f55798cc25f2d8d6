"""Turn the raw logs of a recipe feed into EdgeRec logs. docs/your-logs.md explains each step."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import polars as pl

from edgerec.core.errors import EdgeRecError
from edgerec.data.logs import Logs, LogsHead, write_logs
from edgerec.data.sources.popularity import PastCounts
from edgerec.features.spec import load_spec

FEATURES = Path(__file__).with_name("features.json")
DAY_MS = 86_400_000
OFFER = ["list", "item_id"]
SERVED = ["match", "opens_24h"]


def stable_id(text: str) -> int:
    """Return 63 bits of a hash. They are the same in every run, on every machine and in every language with BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def ids(column: str) -> pl.Expr:
    """Turn a column of strings into integers. Empty values stay empty."""
    return pl.col(column).map_elements(stable_id, return_dtype=pl.Int64)


def milliseconds(column: str) -> pl.Expr:
    """Turn a column of texts like 2024-03-04T17:12:58.374Z into milliseconds since 1970."""
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms").dt.epoch("ms")


def read_items(path: Path) -> pl.DataFrame:
    """Return one row for each recipe. The diet stays a string (one-hot). The cuisine becomes an integer (embedding)."""
    return pl.read_csv(path).select(ids("recipe").alias("item_id"), ids("cuisine"), "minutes", "diet")


def read_offers(path: Path) -> pl.DataFrame:
    """Return one row for each candidate of each list, in served order."""
    words = pl.col("recipes", "match").str.split(" ")
    offers = pl.read_csv(path).with_columns(words).explode("recipes", "match")
    return offers.select(
        "list",
        ids("user").alias("user_id"),
        milliseconds("at").alias("time"),
        pl.col("reason").alias("trigger"),
        ids("recipes").alias("item_id"),
        pl.col("match").cast(pl.Float64),
    )


def read_behaviours(path: Path) -> pl.DataFrame:
    """Return one row for each behaviour, with the time when it was complete and the values that the app measured."""
    raw = pl.read_csv(path)
    seen, opened = pl.col("action") == "seen", pl.col("action") == "opened"
    # The app writes when a behaviour began, but it is known only when it has ended. If the app was killed on a page,
    # the page has no duration, and nothing was measured after its beginning. Such a page is known from its beginning.
    ended = milliseconds("at") + (pl.col("seconds").fill_null(0) * 1000).round().cast(pl.Int64)
    behaviours = raw.select(
        "list",
        ids("user").alias("user_id"),
        ended.alias("time"),
        pl.when(seen).then(pl.lit("exposure")).when(opened).then(pl.lit("page_view")).alias("kind"),
        ids("recipe").alias("item_id"),
        pl.when(seen).then("seconds").alias("seen_s"),
        pl.when(opened).then("seconds").alias("page_s"),
        "hidden",
        "saved",
        "cook_mode",
    ).sort("user_id", "time", maintain_order=True)
    # Both values use only earlier rows, because the device knew only these when it encoded the behaviour.
    decay = pl.col("time").diff().over("user_id", "kind") / 1000
    times = pl.col("time").cum_count().over("user_id", "item_id", "kind")
    return behaviours.with_columns(
        decay.alias("time_decay_s"),
        pl.when(kind="exposure").then(times).alias("times_seen"),
    )


def make_logs(source: Path) -> Logs:
    """Read the raw files in the folder `source` and return the three tables of logs."""
    offers = read_offers(source / "lists.csv")
    behaviours = read_behaviours(source / "actions.csv")
    opened = behaviours.filter(kind="page_view")
    # Served values at a request use only what was known strictly before it.
    opens = PastCounts(opened["item_id"].to_numpy(), opened["time"].to_numpy())
    recent = opens.within(offers["item_id"].to_numpy(), offers["time"].to_numpy(), window=DAY_MS)
    offers = offers.with_columns(opens_24h=recent)
    # The app writes the list with each action, so each label goes to the right request. Search gives no label.
    clicked = (pl.col("kind") == "page_view").any().cast(pl.Int8).alias("clicked")
    labels = behaviours.drop_nulls("list").group_by(OFFER).agg(clicked)
    requests = (
        offers.join(labels, on=OFFER, how="left", maintain_order="left")
        .group_by(pl.col("list").alias("request_id"), "user_id", "time", "trigger", maintain_order=True)
        .agg("item_id", "clicked", *SERVED)
        .filter(pl.col("clicked").list.drop_nulls().list.len() > 0)
        .with_columns(model_version=pl.lit(None, pl.String))
    )
    events = behaviours.join(offers.select(*OFFER, *SERVED), on=OFFER, how="left", maintain_order="left").drop("list")
    return Logs(
        head=LogsHead(name="recipes"),
        spec=load_spec(FEATURES),
        items=read_items(source / "recipes.csv"),
        events=events,
        requests=requests,
    )


def main(source: Path, out: Path, *, force: bool = False) -> None:
    """Write the logs of the raw files in the folder `source` to the folder `out`. `force` replaces a folder."""
    logs = make_logs(source)
    write_logs(logs, out, force=force)
    print({**logs.counts(), "events": len(logs.events), "items": len(logs.items)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Raw logs of a recipe feed -> EdgeRec logs.")
    parser.add_argument("source", type=Path, help="folder with recipes.csv, lists.csv and actions.csv")
    parser.add_argument("out", type=Path, help="folder to write the logs to")
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    arguments = parser.parse_args()
    try:
        main(arguments.source, arguments.out, force=arguments.force)
    except EdgeRecError as error:
        sys.exit(f"make_logs: {error}")
