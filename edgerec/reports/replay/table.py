"""The tables of a replay: their cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABELS = {
    "behaviour_durable": "behaviour recorded (durable)",
    "behaviour_encoded": "behaviour recorded and encoded",
    "response": "trigger to new order",
    "cloud_page": "cloud: a page",
    "cloud_items": "cloud: the items of a list",
    "cloud_logs": "cloud: a batch of log rows stored",
}
"""What each duration is."""


def table3_rows(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the rows of Table 3: what, on the device, by the cloud alone."""
    return [(row["what"], _cell(row["edge"]), _cell(row["cloud"])) for row in document["table3"]]


def duration_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each duration: what, number, p50, p90, p99 and maximum in milliseconds."""
    return [
        (LABELS[name], f"{row['n']:,}", *(f"{row[key]:.3f}" for key in ("p50", "p90", "p99", "max")))
        for name, row in document["durations"].items()
    ]


def stage_rows(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return a row for each part of a behaviour and of a re-rank: the whole, the part, mean milliseconds."""
    return [(row["what"], row["part"], f"{row['mean_ms']:.3f}") for row in document["stages"]]


def _cell(value: float | Mapping[str, float] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return f"{value['p50']:.2f} (p50), {value['p99']:.2f} (p99)"
    return f"{value:.1f}"
