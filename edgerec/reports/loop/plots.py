"""The plots of the report of a loop: for each metric the uplift of the latest and of the first model, by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.reports.drawing import COLORS, Figure, plot
from edgerec.reports.forest import PERCENT, around_zero, intervals, zero_line
from edgerec.reports.loop.blocks import FIRST, LATEST
from edgerec.reports.loop.lead import primary_of
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.uplift import read_uplift

_ASIDE = 0.06
"""Distance between the two models of a round on the axis, so that their intervals do not cover each other."""
_LINES = (
    ("uplift", LATEST, COLORS[0], "solid", -_ASIDE / 2),
    ("first_uplift", FIRST, COLORS[1], "dash", _ASIDE / 2),
)


def plots_of(document: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the plots by name. A name is the ID of its block, a hyphen, and the metric. The primary one is first."""
    primary = primary_of(document)
    keys = in_order({key for each in document["rounds"] for key in each["uplift"]})
    found = {
        f"by-round-{key}": _by_round(document["rounds"], key)
        for key in sorted(keys, key=lambda key: (key != primary, keys.index(key)))
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _by_round(rounds: Sequence[Mapping[str, Any]], key: str) -> Figure | None:
    traces, ends = [], []
    for name, label, color, dash, aside in _LINES:
        found = [(each["round"], read_uplift((each[name] or {}).get(key))) for each in rounds]
        found = [(number, uplift) for number, uplift in found if uplift.mean is not None]
        if not found:
            continue
        ends += [end for _, uplift in found for end in (uplift.mean, *(uplift.ci95 or ())) if end is not None]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": label,
                "x": [number + aside for number, _ in found],
                "y": [uplift.mean for _, uplift in found],
                "error_y": intervals([uplift for _, uplift in found]),
                "line": {"color": color, "width": 2, "dash": dash},
                "marker": {"color": color, "size": 8},
                "customdata": [f"round {number}: {uplift.brief()}" for number, uplift in found],
                "hovertemplate": "%{customdata}<extra>%{fullData.name}</extra>",
            }
        )
    if not traces:
        return None
    last = max(each["round"] for each in rounds)
    return plot(
        traces,
        height=300,
        title=f"Uplift of {metric(key).name} against the cloud",
        xaxis={
            "title": {"text": "round"},
            "dtick": max(1, last // 8),
            "tick0": 1,
            "range": [min(each["round"] for each in rounds) - 0.4, last + 0.4],
            "showgrid": False,
        },
        yaxis={"title": {"text": "uplift"}, **PERCENT, "nticks": 7, "range": around_zero(ends)},
        shapes=[zero_line("y")],
    )
