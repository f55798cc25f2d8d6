"""The plots with bars: sizes, operations, the phases of a cold start, and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.reports.bench.axes import bytes_in_megabytes
from edgerec.reports.bench.devices import Device, entries
from edgerec.reports.cells import megabytes
from edgerec.reports.drawing import TICK, Figure, bar_marker, lines_in, plot, shown_label
from edgerec.reports.page import GREY

TOTAL = "total"
"""The part that is the sum of the others."""


def sizes(devices: Sequence[Device], half: str) -> Figure | None:
    """Return the bytes of one half of the bundles, stacked by part, with a mark at the size in the paper."""
    found = [each for each in entries(devices, "size", lambda entry: entry["part"]) if each[1]["half"] == half]
    paper = [
        (shown_label(device.label, TICK), entry["paper_bytes"])
        for device, entry in found
        if entry["paper_bytes"] is not None
    ]
    parts = _bars([(device, entry["part"], entry["bytes"]) for device, entry in found])
    for trace in parts:
        trace["customdata"] = [megabytes(value) for value in trace["x"]]
        trace["hovertemplate"] = "%{fullData.name}: %{customdata} MB<extra></extra>"
    if not parts:
        return None
    mark = {
        "type": "scatter",
        "mode": "markers",
        "name": "the paper",
        "x": [value for _, value in paper],
        "y": [name for name, _ in paper],
        "marker": {"symbol": "line-ns-open", "size": 34, "color": GREY, "line": {"width": 3}},
        "customdata": [megabytes(value) for _, value in paper],
        "hovertemplate": "the paper: %{customdata} MB<extra></extra>",
    }
    largest = max(
        sum(entry["bytes"] for of, entry in found if of is device and entry["part"] != TOTAL) for device in devices
    )
    axis = {"title": {"text": f"{half}, MB"}, **bytes_in_megabytes(max(largest, *(value for _, value in paper), 0))}
    return _bar_figure(devices, [*parts, *([mark] if paper else [])], axis)


def operations(devices: Sequence[Device]) -> Figure | None:
    """Return a bar for each model, which is stacked from the types of its commands."""
    several = len(devices) > 1
    values = [
        (
            f"{entry['stage']}<br>{shown_label(device.label, TICK)}" if several else entry["stage"],
            entry["type"],
            entry["mean_us"],
        )
        for device, entry in entries(devices, "operations", lambda entry: entry["stage"])
        if entry["mean_us"] is not None
    ]
    axis = {"title": {"text": "microseconds in one run"}}
    return _bar_figure([*{name for name, _, _ in values}], _stack(values), axis) if values else None


def stacked(devices: Sequence[Device], key: str, part: str, value: str, unit: str) -> Figure | None:
    """Return a bar for each device, which is stacked from the entries of the list `key`."""
    parts = _bars([(device, entry[part], entry[value]) for device, entry in entries(devices, key, lambda e: e[part])])
    return _bar_figure(devices, parts, {"title": {"text": unit}}) if parts else None


def memory(devices: Sequence[Device]) -> Figure | None:
    """Return a bar for each phase: the memory above the base."""
    found = list(entries(devices, "memory", lambda entry: entry["phase"]))
    traces = [
        {
            "type": "bar",
            "name": shown_label(device.label),
            "x": [entry["phase"] for of, entry in found if of is device],
            "y": [entry["above_base_bytes"] for of, entry in found if of is device],
            "customdata": [megabytes(entry["above_base_bytes"]) for of, entry in found if of is device],
            "marker": bar_marker(index),
            "hovertemplate": "%{x}: %{customdata} MB",
            "showlegend": len(devices) > 1,
        }
        for index, device in enumerate(devices)
    ]
    if not found:
        return None
    axis = bytes_in_megabytes(max(entry["above_base_bytes"] for _, entry in found))
    return plot(traces, height=300, title="MB above base", yaxis=axis, xaxis={"showgrid": False})


def _bars(values: Sequence[tuple[Device, str, float]]) -> list[dict[str, Any]]:
    return _stack([(shown_label(device.label, TICK), part, value) for device, part, value in values if part != TOTAL])


def _stack(values: Sequence[tuple[str, str, float]]) -> list[dict[str, Any]]:
    """Return a trace for each part from triples of a bar, a part and a value."""
    parts: dict[str, list[tuple[str, float]]] = {}
    for bar, part, value in values:
        parts.setdefault(part, []).append((bar, value))
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": shown_label(part),
            "x": [value for _, value in pairs],
            "y": [bar for bar, _ in pairs],
            "marker": bar_marker(index),
            "hovertemplate": "%{fullData.name}: %{x:,.4~s}<extra></extra>",
        }
        for index, (part, pairs) in enumerate(parts.items())
    ]


def _bar_figure(bars: Sequence[Any], traces: Sequence[Mapping[str, Any]], axis: Mapping[str, Any]) -> Figure:
    single = {"showticklabels": False} if len(bars) == 1 else {}
    yaxis = {"autorange": "reversed", "automargin": True, "showgrid": False, **single}
    names = {name for trace in traces for name in trace["y"]}
    height = 84 + sum(max(46, 10 + 16 * lines_in(name)) for name in names)
    return plot(traces, height=height, barmode="stack", bargap=0.35, xaxis={**axis, "rangemode": "tozero"}, yaxis=yaxis)
