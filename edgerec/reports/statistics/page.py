"""The page of `edgerec stats`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgerec.core.atomic import write_bytes
from edgerec.reports.page import GREY, GRID, check_page, figure, render
from edgerec.reports.statistics.blocks import Plot, Series, labels_of
from edgerec.reports.statistics.document_blocks import document_blocks

COLORS = ("#3d85c6", "#e08a33")
"""Colours of the data sets. They differ in lightness too, and are visible on white and on black."""


def write_report(document: dict[str, Any], path: Path, *, force: bool = False) -> None:
    """Write the page of `document` (from `stats_document`) to the file `path`.

    Raises:
        OutputError: `path` exists and `force` is false, or it cannot be written.
    """
    check_page(path, force=force)
    write_bytes(path, page(document).encode())


def page(document: dict[str, Any]) -> str:
    """Return the page as text. Equal documents give equal text."""
    labels = labels_of(document["logs"])
    shown: list[dict[str, Any]] = []
    plots: dict[str, Any] = {}
    for number, block in enumerate(document_blocks(document), 1):
        name = f"figure-{number}"
        if block.plot:
            plots[f"{name}-plot"] = _figure(block.plot, dict(zip(labels, COLORS, strict=False)))
        columns = [*labels, *(["difference"] if block.difference else [])]
        fields = {"title": block.title, "note": block.note, "rows": block.rows, "columns": columns}
        shown.append({**fields, "id": name, "plot": block.plot is not None})
    return render(
        "statistics/page.html.jinja",
        title=f"Statistics of {' against '.join(labels)}",
        definitions="docs/statistics.md",
        plots=plots,
        sets=[{"label": label, "color": color} for label, color in zip(labels, COLORS, strict=False)],
        blocks=shown,
    )


def _figure(plot: Plot, colors: dict[str, str]) -> dict[str, Any]:
    """Return the plot for plotly.js."""
    traces = [
        {
            **(_rates(series) if series.intervals else {"type": "bar"}),
            "name": series.label,
            "x": list(series.categories),
            "y": list(series.shares),
            "marker": {"color": colors[series.label]},
            "hovertemplate": "%{x}: %{y:.2%}",
        }
        for series in plot.series
    ]
    return figure(
        traces,
        margin={"l": 62, "r": 8, "t": 8, "b": 44},
        showlegend=False,
        bargap=0.15,
        bargroupgap=0.05,
        xaxis={
            "title": {"text": plot.axis, "standoff": 8},
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(plot.categories),
            "automargin": True,
            "nticks": 0 if len(plot.categories) <= 24 else 20,
            "linecolor": GREY,
            "showgrid": False,
        },
        yaxis={
            "title": {"text": plot.share, "standoff": 8},
            "tickformat": ".2~%",
            "rangemode": "tozero",
            "gridcolor": GRID,
            "zerolinecolor": GREY,
        },
    )


def _rates(series: Series) -> dict[str, Any]:
    ends = [
        (share - low, high - share)
        for share, (low, high) in zip(series.shares, series.intervals or (), strict=True)
        if share is not None
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "line": {"width": 1.5},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high for _, high in ends],
            "arrayminus": [low for low, _ in ends],
            "thickness": 1,
            "width": 2,
        },
    }
