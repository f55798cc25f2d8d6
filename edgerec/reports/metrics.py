"""The metrics of a test of ways to serve: their names, their words, and what they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: its name in tables and plots, as in the paper.
        words: its name in a sentence.
        meaning: what it is.
    """

    name: str
    words: str
    meaning: str


METRICS = {
    "pv": Metric("PV", "the exposures of a user", "exposures of feed items, a user"),
    "ctr": Metric("CTR", "the click rate", "the clicks of all users, divided by their exposures"),
    "click": Metric("CLICK", "clicks", "clicks on feed items, a user"),
    "gmv": Metric("GMV", "GMV", "money of purchases on pages that were opened from the feed, a user"),
}
"""The metrics of section 4.3 of the paper, in the order of tables."""


def metric(key: str) -> Metric:
    """Return the metric with this key in a document. A key that is not known here is its own name."""
    return METRICS.get(key) or Metric(key, key, key)


def in_order(keys: Iterable[str]) -> list[str]:
    """Return the keys of metrics in the order of tables, and then those that are not known here."""
    known = set(keys)
    return [*(key for key in METRICS if key in known), *sorted(known - set(METRICS))]
