"""The table as one HTML page with a plot, which opens without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgerec.model.ablation.document import columns_of, table_rows

_GREY, _GRID, _POINT, _SEED = "#848484", "rgba(128, 128, 128, 0.25)", "#3d85c6", "#e08a33"


def page(document: Mapping[str, Any]) -> str:
    """The page as text; the same document gives the same text."""
    import jinja2
    from plotly.offline import get_plotlyjs

    template = Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        document=document,
        columns=columns_of(document),
        rows=table_rows(document),
        what=[(row["model"], row["what"]) for row in document["rows"]],
        baselines=[(name, f"{value:.4f}") for name, value in document["baselines"].items()],
        library=get_plotlyjs(),
        # No name within may end the script that holds it.
        plot=json.dumps(_figure(document), sort_keys=True, allow_nan=False).replace("<", "\\u003c"),
    )


def _figure(document: Mapping[str, Any]) -> dict[str, Any]:
    """Mean GAUC with its interval, each seed, and the baselines as lines."""
    import plotly.graph_objects as go

    rows = document["rows"]
    names, means = [row["model"] for row in rows], [row["gauc_mean"] for row in rows]
    ends = [row["gauc_ci95"] for row in rows]
    seeds = [(row["model"], value) for row in rows for value in row["gauc_seeds"]]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "mean, 95 % over users",
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
            "line": {"color": _GREY, "width": 1, "dash": "dot"},
        }
        for value in document["baselines"].values()
    ]  # fmt: skip
    notes = [
        {"x": value, "y": 1, "yref": "paper", "yanchor": "bottom", "text": name, "showarrow": False, "textangle": -30}
        for name, value in document["baselines"].items()
    ]
    layout = {
        "template": "none",
        "margin": {"l": 110, "r": 20, "t": 90, "b": 50},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _GREY, "size": 12, "family": "system-ui, sans-serif"},
        "legend": {"orientation": "h", "y": -0.12},
        "xaxis": {"title": {"text": "GAUC"}, "gridcolor": _GRID, "zeroline": False},
        "yaxis": {"autorange": "reversed", "gridcolor": _GRID},
        "shapes": lines,
        "annotations": notes,
    }
    drawn: dict[str, Any] = json.loads(go.Figure(data=traces, layout=layout).to_json())
    return drawn
