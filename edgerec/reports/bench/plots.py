"""The plots of a report. Their values are those of the documents, unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgerec.reports.bench.axes import logarithmic
from edgerec.reports.bench.bar_plots import memory, operations, sizes, stacked
from edgerec.reports.bench.blocks import SWEEPS
from edgerec.reports.bench.devices import Device
from edgerec.reports.bench.line_plots import distributions, sustained, sweep
from edgerec.reports.drawing import COLORS, Figure, plot, shown_label
from edgerec.reports.page import GREY

LEAST = 1e-4
"""Least ratio on the axis. Ratios are rounded to four digits, so a smaller one is 0, which has no logarithm."""
_BLOCKS = {"length": "steps", "candidates": "candidates", "threads": "threads"}


def plots_of(devices: Sequence[Device]) -> dict[str, Figure]:
    """Return the plots by name. A name is the ID of its block, a hyphen, and what the plot shows."""
    found = {
        **dict(distributions(devices)),
        **{f"{_BLOCKS[name]}-p50": sweep(devices, name) for name in SWEEPS},
        **dict(ratios(devices)),
        **{f"size-{half}": sizes(devices, half) for half in ("device", "cloud")},
        "operations-time": operations(devices),
        "cold-phases": stacked(devices, "cold", "phase", "median_ms", "milliseconds"),
        "memory-phases": memory(devices),
        "sustained-p50": sustained(devices),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def ratios(devices: Sequence[Device]) -> Iterator[tuple[str, Figure]]:
    """Yield a plot for each device: a line from the smallest to the largest ratio, and a mark at the median."""
    found = [[entry for entry in device.document["ratios"] if not entry["parameters"]] for device in devices]
    ends = [entry[end] for entries_of in found for entry in entries_of for end in ("min", "max")]
    for index, (device, entries_of) in enumerate(zip(devices, found, strict=True)):
        names = [f"{shown_label(entry['stage'])}<br>{shown_label(entry['peer'])}" for entry in entries_of]
        traces = [
            {
                "type": "scatter",
                "mode": "lines",
                # A line ends at None, so that one trace draws all ranges.
                "x": [value for entry in entries_of for value in (entry["min"], entry["max"], None)],
                "y": [value for name in names for value in (name, name, None)],
                "line": {"color": COLORS[0], "width": 2},
                "hoverinfo": "skip",
                "showlegend": False,
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": [entry["median"] for entry in entries_of],
                "y": names,
                "marker": {"color": COLORS[0], "size": 9},
                "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
                "showlegend": False,
            },
        ]
        equal = {"color": GREY, "dash": "dot"}
        if names:
            drawn = plot(
                traces,
                height=100 + 44 * len(names),
                title=device.label if len(devices) > 1 else "",
                xaxis={
                    "title": {"text": "mnn / peer"},
                    **logarithmic([max(LEAST, end) for end in (*ends, 1.0)]),
                },
                yaxis={"range": [len(names) - 0.5, -0.5]},
                shapes=[{"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper", "line": equal}],
            )
            yield f"peers-ratios-{index + 1}", drawn
