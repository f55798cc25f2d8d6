"""What all plots of a report share: colours, labels, and the layout with the legend below."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.reports.page import GREY, GRID, figure

COLORS = ("#3d85c6", "#e08a33", "#4f9d69", "#b65fa8", "#c9524b", "#8a8f3a", "#5b6bd6", "#2fa3a3", "#a0724a", "#848484")
"""Colours of lines and bars. They are visible on white and on black."""
TICK, LEGEND = 22, 36
"""Longest lines of the labels of bars and of the legend, in characters. Longer names are wrapped."""

Figure = dict[str, Any]


def shown_label(text: str, width: int = LEGEND) -> str:
    """Return `text` for plotly, which reads HTML: escaped, and with lines of at most `width` characters."""
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(text, width))


def lines_in(text: str) -> int:
    """Return the number of lines of a label."""
    return 1 + text.count("<br>")


def plot(traces: Sequence[Mapping[str, Any]], *, height: int, title: str = "", **layout: Any) -> Figure:
    """Return a figure whose legend is below the plot.

    Args:
        traces: the traces for plotly.
        height: height of the plot in pixels, without the legend.
        title: the page shows it above the plot. plotly would not wrap it.
        layout: further settings for plotly.
    """
    axes = {
        name: {"gridcolor": GRID, "linecolor": GREY, "zeroline": False, "automargin": True, **layout.pop(name, {})}
        for name in ("xaxis", "yaxis")
    }
    named = [trace.get("name", "") for trace in traces if trace.get("showlegend", True)] if len(traces) > 1 else []
    return figure(
        [dict(trace) for trace in traces],
        height=height + 14 * sum(map(lines_in, named)),
        margin={"l": 50, "r": 12, "t": 12, "b": 40},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "font": {"size": 11},
            "traceorder": "normal",
        },
        showlegend=bool(named),
        meta=title,
        **axes,
        **layout,
    )
