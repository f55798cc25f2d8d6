"""The plots of a report. Their values are those of the documents, unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgerec.reports.bench.blocks import SWEEPS, sweep_of
from edgerec.reports.bench.devices import Device, entries
from edgerec.reports.page import GREY, GRID, figure

COLORS = ("#3d85c6", "#e08a33", "#4f9d69", "#b65fa8", "#c9524b", "#8a8f3a", "#5b6bd6", "#2fa3a3", "#a0724a", "#848484")
"""Colours of lines and bars. They are visible on white and on black."""
DASHES = ("solid", "dash", "dot", "dashdot")
OURS = ("mnn", "edgerec", "step", "full")
"""Names that are drawn if there are several devices. A click on the legend shows the others."""
TOTAL = "total"
_BLOCKS = {"length": "steps", "candidates": "candidates", "threads": "threads"}
_SWEEP_AXES = {
    "length": {"title": {"text": "behaviours in the sequence"}},
    "candidates": {"title": {"text": "candidates"}},
    "threads": {"title": {"text": "threads"}, "dtick": 1},
}

Figure = dict[str, Any]


def plots_of(devices: Sequence[Device]) -> dict[str, Figure]:
    """Return the plots by name. A name is the ID of its block, a hyphen, and what the plot shows."""
    found = {
        **dict(_distributions(devices)),
        **{f"{_BLOCKS[name]}-p50": _sweep(devices, name) for name in SWEEPS},
        "peers-ratios": _ratios(devices),
        **{f"size-{half}": _sizes(devices, half) for half in ("device", "cloud")},
        "operations-time": _operations(devices),
        "cold-phases": _stacked(devices, "cold", "phase", "median_ms", "milliseconds"),
        "memory-phases": _memory(devices),
        "sustained-p50": _sustained(devices),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _distributions(devices: Sequence[Device]) -> Iterator[tuple[str, Figure]]:
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
                xaxis={"title": {"text": "microseconds"}, "type": "log"},
                yaxis={"title": {"text": "share of calls"}, "tickformat": ".0%", "range": [0, 1.02]},
            ),
        )


def _sweep(devices: Sequence[Device], parameter: str) -> Figure | None:
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
    logarithmic = {"type": "log"} if parameter == "length" else {"rangemode": "tozero"}
    return _lines(
        devices,
        [(device, rows[0]) for device, rows in lines.values()],
        traces,
        xaxis=_SWEEP_AXES[parameter],
        yaxis={"title": {"text": "p50, microseconds"}, **logarithmic},
    )


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
            "name": f"{row['name']}, {device.label}" if several else row["name"],
            "line": {
                "color": COLORS[names.index(row["name"]) % len(COLORS)],
                "dash": DASHES[labels.index(device.label) % len(DASHES)],
            },
            "visible": True if not several or row["name"] in OURS else "legendonly",
            **trace,
        }
        for (device, row), trace in zip(rows, traces, strict=True)
    ]
    return _figure(drawn, height=330, **layout)


def _ratios(devices: Sequence[Device]) -> Figure | None:
    """Return the plot of the ratios: a line from the smallest to the largest, and a mark at the median."""
    found = list(entries(devices, "ratios", lambda entry: (entry["stage"], entry["peer"])))
    found = [each for each in found if not each[1]["parameters"]]
    if not found:
        return None
    traces = []
    for index, device in enumerate(devices):
        mine = [entry for of, entry in found if of is device]
        of_device = f"<br>{device.label}" if len(devices) > 1 else ""
        where = [f"{entry['stage']}<br>{entry['peer']}{of_device}" for entry in mine]
        color = COLORS[index % len(COLORS)]
        traces += [
            {
                "type": "scatter",
                "mode": "lines",
                # A line ends at None, so that one trace draws all ranges.
                "x": [value for entry in mine for value in (entry["min"], entry["max"], None)],
                "y": [value for name in where for value in (name, name, None)],
                "line": {"color": color, "width": 2},
                "showlegend": False,
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "name": device.label,
                "x": [entry["median"] for entry in mine],
                "y": where,
                "marker": {"color": color, "size": 9},
                "hovertemplate": "%{y}: %{x:.3f}",
                "showlegend": False,
            },
        ]
    one = {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": GREY, "dash": "dot"}}
    return _figure(
        traces,
        height=100 + 44 * len(found),
        xaxis={"title": {"text": "p50 of MNN / p50 of the peer"}, "type": "log"},
        yaxis={"autorange": "reversed", "automargin": True},
        shapes=[one],
    )


def _sizes(devices: Sequence[Device], half: str) -> Figure | None:
    """Return the bytes of one half of the bundles, stacked by part, with a mark at the size in the paper."""
    found = [each for each in entries(devices, "size", lambda entry: entry["part"]) if each[1]["half"] == half]
    paper = [(device.label, entry["paper_bytes"]) for device, entry in found if entry["paper_bytes"] is not None]
    parts = _bars([(device, entry["part"], entry["bytes"]) for device, entry in found])
    if not parts:
        return None
    mark = {
        "type": "scatter",
        "mode": "markers",
        "name": "the paper",
        "x": [value for _, value in paper],
        "y": [name for name, _ in paper],
        "marker": {"symbol": "line-ns-open", "size": 34, "color": GREY, "line": {"width": 3}},
        "hovertemplate": "the paper: %{x:.3s}B",
    }
    axis = {"title": {"text": f"{half} half, bytes"}, "tickformat": "~s", "rangemode": "tozero"}
    return _bar_figure(devices, [*parts, *([mark] if paper else [])], axis)


def _operations(devices: Sequence[Device]) -> Figure | None:
    several = len(devices) > 1
    values = [
        (f"{entry['stage']}<br>{device.label}" if several else entry["stage"], entry["type"], entry["mean_us"])
        for device, entry in entries(devices, "operations", lambda entry: entry["stage"])
    ]
    axis = {"title": {"text": "microseconds in one run"}}
    return _bar_figure([*{name for name, _, _ in values}], _stack(values), axis) if values else None


def _stacked(devices: Sequence[Device], key: str, part: str, value: str, unit: str) -> Figure | None:
    """Return a bar for each device, which is stacked from the entries of the list `key`."""
    parts = _bars([(device, entry[part], entry[value]) for device, entry in entries(devices, key, lambda e: e[part])])
    return _bar_figure(devices, parts, {"title": {"text": unit}}) if parts else None


def _bars(values: Sequence[tuple[Device, str, float]]) -> list[dict[str, Any]]:
    return _stack([(device.label, part, value) for device, part, value in values if part != TOTAL])


def _stack(values: Sequence[tuple[str, str, float]]) -> list[dict[str, Any]]:
    """Return a trace for each part from triples of a bar, a part and a value."""
    parts: dict[str, list[tuple[str, float]]] = {}
    for bar, part, value in values:
        parts.setdefault(part, []).append((bar, value))
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": part,
            "x": [value for _, value in pairs],
            "y": [bar for bar, _ in pairs],
            "marker": {"color": COLORS[index % len(COLORS)]},
            "hovertemplate": f"{part}: %{{x:,.4~s}}",
        }
        for index, (part, pairs) in enumerate(parts.items())
    ]


def _bar_figure(bars: Sequence[Any], traces: Sequence[Mapping[str, Any]], axis: Mapping[str, Any]) -> Figure:
    single = {"showticklabels": False} if len(bars) == 1 else {}
    yaxis = {"autorange": "reversed", "automargin": True, "showgrid": False, **single}
    height = 130 + 46 * len(bars)
    return _figure(
        traces, height=height, barmode="stack", bargap=0.35, xaxis={**axis, "rangemode": "tozero"}, yaxis=yaxis
    )


def _memory(devices: Sequence[Device]) -> Figure | None:
    found = list(entries(devices, "memory", lambda entry: entry["phase"]))
    traces = [
        {
            "type": "bar",
            "name": device.label,
            "x": [entry["phase"] for of, entry in found if of is device],
            "y": [entry["above_base_bytes"] for of, entry in found if of is device],
            "marker": {"color": COLORS[index % len(COLORS)]},
            "hovertemplate": "%{x}: %{y:.3s}B",
            "showlegend": len(devices) > 1,
        }
        for index, device in enumerate(devices)
    ]
    axis = {"title": {"text": "bytes above base"}, "tickformat": "~s"}
    return _figure(traces, height=300, yaxis=axis, xaxis={"showgrid": False}) if found else None


def _sustained(devices: Sequence[Device]) -> Figure | None:
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


def _figure(traces: Sequence[Mapping[str, Any]], *, height: int, title: str = "", **layout: Any) -> Figure:
    """Return a figure whose legend is below the plot. `height` is that of the plot without the legend."""
    axes = {
        name: {"gridcolor": GRID, "linecolor": GREY, "zeroline": False, "automargin": True, **layout.pop(name, {})}
        for name in ("xaxis", "yaxis")
    }
    entries_shown = sum(trace.get("showlegend", True) for trace in traces) if len(traces) > 1 else 0
    heading = {"title": {"text": title, "font": {"size": 13}, "x": 0.01, "y": 0.98, "yanchor": "top"}} if title else {}
    return figure(
        [dict(trace) for trace in traces],
        height=height + 12 * entries_shown,
        margin={"l": 50, "r": 12, "t": 34 if title else 12, "b": 40},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "font": {"size": 11},
            "traceorder": "normal",
        },
        showlegend=entries_shown > 0,
        **heading,
        **axes,
        **layout,
    )
