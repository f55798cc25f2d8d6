"""The tables of `edgerec bench`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from edgerec.cli.output import table_of


def bench_table(document: dict[str, Any]) -> Table:
    """Return the table of the document of `run_bench`."""
    against = {(row["stage"], row["peer"]): row for row in document["ratios"]}
    rows = []
    for row in document["results"]:
        ratio = against.get((row["stage"], row["name"]))
        shown = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})" if ratio else ""
        times = (f"{row[f'{key}_us']:.1f}" for key in ("p50", "p90", "p99"))
        rows.append((f"{row['stage']}  {row['name']}", f"{row['n']:,}", *times, shown))
    title = "microseconds per call; mnn / peer is the ratio of p50: the median and the range over rounds"
    return table_of(("", "n", "p50", "p90", "p99", "mnn / peer"), rows, title=title)


def kv_table(document: dict[str, Any]) -> Table:
    """Return the table of the document of `run_kv_bench`."""
    rows = [
        (
            f"{row['stage']}  {row['name']}",
            f"{row['n']:,}",
            *(f"{row[f'{key}_us']:.1f}" for key in ("p50", "p90", "p99")),
            *(f"{row[key] / 1e6:,.1f}" for key in ("resident_bytes", "private_bytes")),
        )
        for row in document["results"]
    ]
    sizes = document["sizes"]
    title = f"microseconds per page of {sizes['items']} items x {len(sizes['tables'])} features; memory in MB"
    return table_of(("", "n", "p50", "p90", "p99", "resident", "private part"), rows, title=title)


def training_table(document: dict[str, Any]) -> Table:
    """Return the table of the document of `run_training_bench`."""
    rows = [
        (row["name"], row["stage"], f"{row['p50_us'] / 1000:.1f}", f"{row['p90_us'] / 1000:.1f}", str(row["n"]))
        for row in document["results"]
    ]
    for name, speed in document["requests_per_second"].items():
        rows.append((name, "requests/s", f"{speed:,.0f}", "", ""))
    for ratio in document["ratios"]:
        limits = f"{ratio['min']:.2f} to {ratio['max']:.2f}"
        rows.append((f"{ratio['of']} / {ratio['to']}", "time of a round", f"{ratio['median']:.3f}", limits, ""))
    rows.append(("", "largest difference of losses", f"{document['loss_difference']:.1e}", "", ""))
    return table_of(("name", "stage", "p50, ms", "p90, ms", "n"), rows)
