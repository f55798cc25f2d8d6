"""The legend below a plot, as a list of buttons. It wraps on a narrow screen. A click hides or shows the series."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from edgerec.reports.drawing import Figure

_DASHES = {"solid": "", "dash": "6 3", "dot": "2 2", "dashdot": "6 2 2 2"}


@dataclass(frozen=True)
class Entry:
    """An entry of a legend.

    Attributes:
        index: index of the trace in the figure.
        name: name of the trace.
        color: its colour.
        width: its width, if it is a line.
        dashes: lengths of the dashes of a line, or "" for a solid one.
        shape: `line`, `bar`, `hatched`, `mark` (a short line across) or `point`.
        hidden: whether the trace is only drawn after a click.
    """

    index: int
    name: str
    color: str
    width: float
    dashes: str
    shape: str
    hidden: bool


def legend(figure: Figure) -> list[Entry]:
    """Return the legend of a figure. It is empty if the figure has only one trace."""
    traces = figure["data"]
    named = [
        (index, trace) for index, trace in enumerate(traces) if trace.get("name") and trace.get("showlegend", True)
    ]
    return [_entry(index, trace) for index, trace in named] if len(named) > 1 else []


def _entry(index: int, trace: dict[str, Any]) -> Entry:
    line, marker = trace.get("line", {}), trace.get("marker", {})
    if trace["type"] == "bar":
        shape = "hatched" if "pattern" in marker else "bar"
    elif trace["mode"] == "markers":
        shape = "mark" if marker.get("symbol", "").startswith("line") else "point"
    else:
        shape = "line"
    return Entry(
        index=index,
        name=html.unescape(trace["name"].replace("<br>", " ")),
        color=line.get("color") or marker["color"],
        width=line.get("width", 2),
        dashes=_DASHES[line.get("dash", "solid")],
        shape=shape,
        hidden=trace.get("visible") == "legendonly",
    )
