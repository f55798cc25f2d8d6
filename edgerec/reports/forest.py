"""A forest plot: uplifts with their intervals, one below the other, around a line at 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from edgerec.reports.drawing import COLORS, Figure, lines_in, plot, short_label
from edgerec.reports.page import GREY
from edgerec.reports.simulated import PAPER
from edgerec.reports.uplift import Uplift, change

PERCENT = {"tickformat": "+~%", "nticks": 5, "tickangle": 0}
"""Settings of an axis of relative changes."""


def forest(rows: Sequence[tuple[str, Uplift]], *, title: str = "") -> Figure | None:
    """Return the plot, or None if nothing was measured. Rows without a mean are left out.

    Args:
        rows: the label and the uplift of each row.
        title: the page shows it above the plot.
    """
    found = [(short_label(label), uplift) for label, uplift in rows if uplift.mean is not None]
    if not found:
        return None
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "this simulation, with 95 % interval",
            "x": [uplift.mean for _, uplift in found],
            "y": list(range(len(found))),
            "error_x": intervals([uplift for _, uplift in found]),
            "marker": {"color": COLORS[0], "size": 10},
            "customdata": [f"{label}: {uplift.brief()}" for label, uplift in found],
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    ]
    paper = [(index, uplift.paper) for index, (_, uplift) in enumerate(found) if uplift.paper is not None]
    if paper:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": PAPER,
                "x": [value for _, value in paper],
                "y": [index for index, _ in paper],
                "marker": {"symbol": "line-ns-open", "size": 20, "color": COLORS[4], "line": {"width": 3}},
                "customdata": [f"{found[index][0]}: {change(value)}" for index, value in paper],
                "hovertemplate": f"{PAPER}<br>%{{customdata}}<extra></extra>",
            }
        )
    ends = [end for _, uplift in found for end in (uplift.mean, *(uplift.ci95 or ()), uplift.paper) if end is not None]
    return plot(
        traces,
        height=70 + len(found) * max(34, *(10 + 16 * lines_in(label) for label, _ in found)),
        title=title,
        xaxis={"title": {"text": "uplift"}, **PERCENT, "range": around_zero(ends)},
        yaxis={
            "tickvals": list(range(len(found))),
            "ticktext": [label for label, _ in found],
            "range": [len(found) - 0.5, -0.5],
            "showgrid": False,
        },
        shapes=[zero_line("x")],
    )


def intervals(uplifts: Sequence[Uplift]) -> dict[str, Any]:
    """Return the error bars of plotly for these intervals. An uplift without an interval has a bar of length 0."""
    ends = [(uplift.mean or 0.0, uplift.ci95 or (uplift.mean or 0.0,) * 2) for uplift in uplifts]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - mean for mean, (_, high) in ends],
        "arrayminus": [mean - low for mean, (low, _) in ends],
        "thickness": 2,
        "width": 5,
    }


def around_zero(values: Iterable[float]) -> list[float]:
    """Return the range of an axis that shows these values and 0, with a margin."""
    low, high = min(0.0, *(found := list(values)), 0.0), max(0.0, *found, 0.0)
    margin = 0.07 * (high - low or 0.01)
    return [low - margin, high + margin]


def zero_line(axis: str) -> dict[str, Any]:
    """Return a line at 0 across the other axis. `axis` is ``x`` or ``y``."""
    other = "y" if axis == "x" else "x"
    ends = {f"{axis}0": 0, f"{axis}1": 0, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    return {"type": "line", **ends, "line": {"color": GREY, "width": 1}, "layer": "below"}
