"""Counts of the labels of requests."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from edgerec.data.schema import CLICKED


@dataclass
class LabelCounts:
    """Counts of labels in all requests.

    Attributes:
        requests: number of requests.
        labelled: number of requests with at least one label.
        with_click: number of requests with a click.
        both: number of requests with a click and an exposure without one.
        labels: number of labels (exposed candidates).
        clicks: number of labels that are 1.
        several: number of requests with at least two labels.
        last_clicks: in how many of these the last label is 1.
        other_labels: number of the other labels of these requests.
        other_clicks: how many of them are 1.
    """

    requests: int = 0
    labelled: int = 0
    with_click: int = 0
    both: int = 0
    labels: int = 0
    clicks: int = 0
    several: int = 0
    last_clicks: int = 0
    other_labels: int = 0
    other_clicks: int = 0

    def add(self, requests: pl.DataFrame) -> None:
        """Count the labels of some requests."""
        labels = requests[CLICKED].list.drop_nulls()
        each = pl.DataFrame(
            {"count": labels.list.len(), "clicks": labels.list.sum().cast(pl.Int64), "last": labels.list.last()}
        ).fill_null(0)
        several = each.filter(pl.col("count") > 1)
        last = int(several["last"].cast(pl.Int64).sum() or 0)
        self.requests += len(each)
        self.labelled += int((each["count"] > 0).sum() or 0)
        self.with_click += int((each["clicks"] > 0).sum() or 0)
        self.both += len(each.filter((pl.col("clicks") > 0) & (pl.col("clicks") < pl.col("count"))))
        self.labels += int(each["count"].sum() or 0)
        self.clicks += int(each["clicks"].sum() or 0)
        self.several += len(several)
        self.last_clicks += last
        self.other_labels += int(several["count"].sum() or 0) - len(several)
        self.other_clicks += int(several["clicks"].sum() or 0) - last
