"""The plots of the report of an A/B test. Their values are those of the document, unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.core.text import printable
from edgerec.reports.ab_test.blocks import LEAST_SHARE, activity_label, position_label
from edgerec.reports.drawing import COLORS, Figure, plot, short_label
from edgerec.reports.forest import forest
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.page import GREY
from edgerec.reports.uplift import Uplift, read_uplift

_DASHES = ("solid", "dash", "dot", "dashdot")
_SHOWN = 4
"""If there are more buckets, only control and treatment are drawn. A click on the legend shows the others."""


def plots_of(document: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the plots by name. A name is the ID of its block, a hyphen, and what the plot shows."""
    primary = document["primary"]
    rows = [(metric(key).name, read_uplift(document["uplift"][key])) for key in in_order(document["uplift"])]
    found = {
        "uplift-forest": forest(rows),
        "positions-rates": _rates(document["positions"]),
        **_comparisons(document["comparisons"], primary),
        "activity-primary": forest(
            [(activity_label(entry), read_uplift(entry["uplift"].get(primary))) for entry in document["activity"]],
            title=f"Uplift of {metric(primary).name}",
        ),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _comparisons(entries: Sequence[Mapping[str, Any]], primary: str) -> dict[str, Figure | None]:
    """Return a forest plot for each bucket that others are compared with. One comparison needs no further plot."""
    if len(entries) < 2:
        return {}
    groups: dict[str, list[tuple[str, Uplift]]] = {}
    for entry in entries:
        uplift = read_uplift(entry["uplift"].get(primary))
        groups.setdefault(entry["against"], []).append((entry["bucket"], uplift))
    return {
        f"comparisons-{index + 1}": forest(rows, title=f"Uplift of {metric(primary).name} against {printable(against)}")
        for index, (against, rows) in enumerate(groups.items())
    }


def _rates(positions: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure | None:
    """Return the click rate by display position, with a line for each bucket (figure 5 of the paper)."""
    traces = []
    for index, (bucket, entries) in enumerate(positions.items()):
        least = LEAST_SHARE * max((entry["exposures"] for entry in entries), default=0)
        found = [entry for entry in entries if entry["rate"] is not None and entry["exposures"] >= least]
        ends = [entry["ci95"] or (entry["rate"], entry["rate"]) for entry in found]
        if not found:
            continue
        # The control is grey, and the other buckets have the colours.
        color = GREY if not index else COLORS[(index - 1) % (len(COLORS) - 1)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": short_label(bucket),
                "x": [(entry["from"] + (entry["to"] or entry["from"])) / 2 for entry in found],
                "y": [entry["rate"] for entry in found],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - entry["rate"] for entry, (_, high) in zip(found, ends, strict=True)],
                    "arrayminus": [entry["rate"] - low for entry, (low, _) in zip(found, ends, strict=True)],
                    "thickness": 1.3,
                    "width": 3,
                },
                "line": {"color": color, "width": 2, "dash": _DASHES[index // len(COLORS) % len(_DASHES)]},
                "marker": {"color": color, "size": 6},
                "customdata": [
                    f"positions {position_label(entry)}: {100 * entry['rate']:.2f} % "
                    f"({100 * low:.2f} to {100 * high:.2f})"
                    for entry, (low, high) in zip(found, ends, strict=True)
                ],
                "hovertemplate": "%{customdata}<extra>%{fullData.name}</extra>",
                "visible": True if len(positions) <= _SHOWN or index < 2 else "legendonly",
            }
        )
    if not traces:
        return None
    return plot(
        traces,
        height=360,
        xaxis={"title": {"text": "display position in the session"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "click rate, with 95 % intervals"}, "tickformat": "~%"},
    )
