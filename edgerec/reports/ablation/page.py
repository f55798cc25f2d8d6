"""The HTML page of `edgerec ablate`. It has the table and a plot of GAUC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.ablation.table import columns_of, gap_note, table_rows
from edgerec.reports.page import GREY, GRID, figure, render

_POINT, _SEED = "#3d85c6", "#e08a33"


def page(document: Mapping[str, Any]) -> str:
    """Return the page as text. Equal documents give equal text."""
    return render(
        "ablation/page.html.jinja",
        title="Table 2",
        definitions="docs/training.md",
        plots={"plot": _figure(document)},
        document=document,
        columns=columns_of(document),
        rows=table_rows(document),
        note=gap_note(document),
        what=[(row["model"], row["what"]) for row in document["rows"]],
        baselines=[(name, f"{value:.4f}") for name, value in document["baselines"].items()],
    )


def _figure(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plot: mean GAUC with its interval, GAUC of each seed, and a line for each baseline."""
    rows = document["rows"]
    names, means = [row["model"] for row in rows], [row["gauc_mean"] for row in rows]
    ends = [row["gauc_ci95"] for row in rows]
    seeds = [(row["model"], value) for row in rows for value in row["gauc_seeds"]]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "mean, with 95 % interval over users",
            "x": means,
            "y": names,
            "marker": {"color": _POINT, "size": 10},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [high - mean for mean, (_, high) in zip(means, ends, strict=True)],
                "arrayminus": [mean - low for mean, (low, _) in zip(means, ends, strict=True)],
            },
            "hovertemplate": "%{y}: %{x:.4f}",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "single seeds",
            "x": [value for _, value in seeds],
            "y": [name for name, _ in seeds],
            "marker": {"color": _SEED, "size": 6, "symbol": "line-ns-open"},
            "hovertemplate": "%{y}: %{x:.4f}",
        },
    ]
    lines = [
        {
            "type": "line", "x0": value, "x1": value, "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": GREY, "width": 1, "dash": "dot"},
        }
        for value in document["baselines"].values()
    ]  # fmt: skip
    notes = [
        {"x": value, "y": 1, "yref": "paper", "yanchor": "bottom", "text": name, "showarrow": False, "textangle": -30}
        for name, value in document["baselines"].items()
    ]
    return figure(
        traces,
        margin={"l": 110, "r": 20, "t": 90, "b": 50},
        legend={"orientation": "h", "y": -0.12},
        xaxis={"title": {"text": "GAUC"}, "gridcolor": GRID, "zeroline": False},
        yaxis={"autorange": "reversed", "gridcolor": GRID},
        shapes=lines,
        annotations=notes,
    )
