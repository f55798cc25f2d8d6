"""The HTML page of `edgerec replay`: Table 3, the durations, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.page import GREY, GRID, figure, render
from edgerec.reports.replay.table import LABELS, duration_rows, stage_rows, table3_rows


def page(document: Mapping[str, Any]) -> str:
    """Return the page as text. Equal documents give equal text."""
    return render(
        "replay/page.html.jinja",
        title="Replay",
        definitions="docs/cloud.md",
        plots={"plot": _figure(document)},
        document=document,
        table3=table3_rows(document),
        durations=duration_rows(document),
        stages=stage_rows(document),
    )


def _figure(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plot: the quantiles of each duration, on a logarithmic axis."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": LABELS[name],
            "x": row["quantiles_ms"],
            "y": document["quantiles"],
            "hovertemplate": "%{y:.1%} take at most %{x:.3f} ms",
        }
        for name, row in document["durations"].items()
    ]
    return figure(
        traces,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        legend={"orientation": "h", "y": -0.2},
        xaxis={"title": {"text": "milliseconds"}, "type": "log", "gridcolor": GRID, "linecolor": GREY},
        yaxis={"title": {"text": "share of the calls"}, "tickformat": ".0%", "gridcolor": GRID, "range": [0, 1.02]},
    )
