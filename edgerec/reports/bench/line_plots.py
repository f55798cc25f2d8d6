"""The plots with lines: distributions, sweeps, and the speed over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgerec.reports.bench.axes import logarithmic
from edgerec.reports.bench.blocks import sweep_of
from edgerec.reports.bench.devices import Device, entries
from edgerec.reports.drawing import COLORS, Figure, color, plot, shown_label

DASHES = ("solid", "dash", "dot", "dashdot")
OURS = ("mnn", "edgerec", "step", "full")
"""Names that are drawn if there are several devices. A click on the legend shows the others."""
_SWEEP_AXES = {
    "length": {"title": {"text": "behaviours in the sequence"}},
    "candidates": {"title": {"text": "candidates"}},
    "threads": {"title": {"text": "threads"}, "dtick": 1},
}


def distributions(devices: Sequence[Device]) -> Iterator[tuple[str, Figure]]:
    """Yield a plot for each stage: the share of calls that take at most this long."""
    stages: dict[str, list[tuple[Device, Mapping[str, Any]]]] = {}
    for device, row in entries(devices, "results", lambda row: (row["stage"], row["name"])):
        if sweep_of(row) is None and row["quantiles_us"]:
            stages.setdefault(row["stage"], []).append((device, row))
    for stage, rows in stages.items():
        traces = [
            {
                "x": row["quantiles_us"],
                "y": device.document["quantiles"],
                "hovertemplate": "%{y:.1%} take at most %{x:,.1f} us",
            }
            for device, row in rows
        ]
        yield (
            f"latency-{stage}",
            _lines(
                devices,
                rows,
                traces,
                title=stage,
                xaxis={
                    "title": {"text": "microseconds"},
                    **logarithmic(v for _, row in rows for v in row["quantiles_us"]),
                },
                yaxis={"title": {"text": "share of calls"}, "tickformat": ".0%", "range": [0, 1.02]},
            ),
        )


def sweep(devices: Sequence[Device], parameter: str) -> Figure | None:
    """Return a line for each implementation: the p50 by the parameter that the sweep varies."""
    lines: dict[tuple[str, str], tuple[Device, list[Mapping[str, Any]]]] = {}
    for device, row in entries(devices, "results", lambda row: row["name"]):
        if sweep_of(row) == parameter:
            lines.setdefault((row["name"], device.label), (device, []))[1].append(row)
    if not lines:
        return None
    traces = [
        {
            "mode": "lines+markers",
            "x": [row["parameters"][parameter] for row in rows],
            "y": [row["p50_us"] for row in rows],
            "hovertemplate": "%{x}: %{y:,.1f} us",
        }
        for _, rows in lines.values()
    ]
    scale = logarithmic(y for trace in traces for y in trace["y"]) if parameter == "length" else {"rangemode": "tozero"}
    return _lines(
        devices,
        [(device, rows[0]) for device, rows in lines.values()],
        traces,
        xaxis=_SWEEP_AXES[parameter],
        yaxis={"title": {"text": "p50, microseconds"}, **scale},
    )


def sustained(devices: Sequence[Device]) -> Figure | None:
    """Return the p50 and the p99 of each interval of a sustained measurement."""
    lines: dict[tuple[str, str, str], tuple[Device, list[Mapping[str, Any]]]] = {}
    for device, entry in entries(devices, "sustained", lambda entry: (entry["stage"], entry["name"])):
        lines.setdefault((entry["stage"], entry["name"], device.label), (device, []))[1].append(entry)
    if not lines:
        return None
    rows = [
        (device, {"name": f"{stage} {name}, {what}"})
        for (stage, name, _), (device, _) in lines.items()
        for what in ("p50", "p99")
    ]
    traces = [
        {
            "x": [entry["second"] for entry in found],
            "y": [entry[f"{what}_us"] for entry in found],
            "visible": True,
            "hovertemplate": "second %{x:.0f}: %{y:,.1f} us",
        }
        for _, found in lines.values()
        for what in ("p50", "p99")
    ]
    yaxis = {"title": {"text": "microseconds"}, "rangemode": "tozero"}
    return _lines(devices, rows, traces, xaxis={"title": {"text": "seconds since the start"}}, yaxis=yaxis)


def _lines(
    devices: Sequence[Device],
    rows: Sequence[tuple[Device, Mapping[str, Any]]],
    traces: Sequence[Mapping[str, Any]],
    **layout: Any,
) -> Figure:
    """Return a plot of lines. The colour shows the implementation, the dashes show the device."""
    names, labels = list(dict.fromkeys(row["name"] for _, row in rows)), [device.label for device in devices]
    several = len(devices) > 1
    drawn = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": shown_label(f"{row['name']}, {device.label}" if several else row["name"]),
            "line": {
                "color": color(names.index(row["name"])),
                "width": 2 if names.index(row["name"]) < len(COLORS) else 4,
                "dash": DASHES[labels.index(device.label) % len(DASHES)],
            },
            "visible": True if not several or row["name"] in OURS else "legendonly",
            **trace,
        }
        for (device, row), trace in zip(rows, traces, strict=True)
    ]
    return plot(drawn, height=330, **layout)
