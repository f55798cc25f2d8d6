"""The table of `edgerec bench cloud`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgerec.cli.output import table_of


def cloud_table(document: dict[str, Any]) -> Group:
    """Return the tables of the document of `run_cloud_bench`."""
    return Group(*_tables(document))


def _tables(document: dict[str, Any]) -> Iterator[RenderableType]:
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for row in document["results"]:
        by_stage.setdefault(row["stage"], []).append(row)
    sizes = document["sizes"]
    rows = max(table["rows"] for table in sizes["tables"].values()) if sizes["tables"] else 0
    yield table_of(
        ("pages", "connections", "pages/s", "p50, ms", "p90, ms", "p99, ms", "CPU, ms"),
        [
            (
                row["name"],
                str(row["connections"]),
                f"{row['pages_per_s']:,.0f}",
                *(f"{row[f'{key}_us'] / 1000:.1f}" for key in ("p50", "p90", "p99")),
                f"{row['cpu_us'] / 1000:.2f}",
            )
            for row in by_stage["page"]
        ],
        title=f"{sizes['page']} items a page, {sizes['items']:,} items, {rows:,} rows in the largest table",
    )
    yield table_of(
        ("logs", "batch", "behaviours/s", "p50, ms", "p99, ms"),
        [
            (
                row["name"],
                f"{row['events']} behaviours, {row['requests']} requests",
                f"{row['behaviours_per_s']:,.0f}",
                *(f"{row[f'{key}_us'] / 1000:.1f}" for key in ("p50", "p99")),
            )
            for row in by_stage["logs"]
        ],
    )
    yield table_of(
        ("first page of a server", "ms", "times p50"),
        [(row["name"], f"{row['us'] / 1000:.1f}", f"{row['to_p50']:.1f}") for row in by_stage["first"]],
    )
    if "memory" in by_stage:
        yield table_of(
            ("memory", "pages", "MB after the first", "MB at the end"),
            [
                (
                    row["name"],
                    f"{row['pages']:,}",
                    *(f"{row['samples'][place]['bytes'] / 1e6:,.1f}" for place in (1, -1)),
                )
                for row in by_stage["memory"]
            ],
        )
    yield table_of(
        ("where the time of a page goes", "us"), [(part["part"], f"{part['us']:,.0f}") for part in document["parts"]]
    )
    for warning in document["warnings"]:
        yield Text(f"! {warning}")
