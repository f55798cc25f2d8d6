"""What people see of `edgerec stats`: a table, and one HTML file with plots that opens without a network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from edgerec.core.atomic import FILE, check_output, write_bytes
from edgerec.core.console import show, table_of
from edgerec.core.errors import OutputError
from edgerec.core.page import GREY, GRID, figure, render
from edgerec.data.statistics.blocks import Block, DataSet, Plot, Row, Series, cells, labels_of
from edgerec.data.statistics.rate_blocks import rate_blocks, rate_text
from edgerec.data.statistics.share_blocks import KINDS, share_blocks

COLORS = ("#3d85c6", "#e08a33")
"""Of the data sets: apart in lightness too, and clear of white and of black."""


def stats_table(document: dict[str, Any]) -> Table:
    """What the terminal shows of the document (of `stats_document`)."""
    labels = labels_of(document["logs"])
    columns = ["", *labels, *(["difference"] if len(labels) > 1 else [])]
    empty = ("",) * len(columns)
    rows: list[Row] = []
    for block in _blocks(document):
        if block.brief:
            rows += [empty] if rows else []
            rows.append((block.title, *empty[1:]))
            rows += [(f"  {row[0]}", *row[1:], *empty)[: len(columns)] for row in block.rows]
    return table_of(columns, rows)


def _blocks(document: dict[str, Any]) -> list[Block]:
    """Everything that is shown, in the order in which it is read."""
    sets: list[DataSet] = document["logs"]
    return [_size(sets), *rate_blocks(sets, document["comparison"]), *share_blocks(sets)]


def _size(sets: list[DataSet]) -> Block:
    names = {
        "requests": "requests",
        "pages": "pages",
        "users": "users with a request",
        "exposures": "exposures, each once",
        "clicks": "of them clicked",
    }
    rows = [cells(text, [entry[key] for entry in sets], show) for key, text in names.items()]
    rows.append(cells("click rate", sets, rate_text))
    for key, text in KINDS.items():
        rows.append(cells(f"{text} among the events", [entry["behaviours"][key] for entry in sets], show))
    note = (
        "The first request of a page lists all that the page showed: exposures and clicks are counted there, once. "
        "Requests and events are all that the logs have. Intervals are of 95 % (Wilson)."
    )
    return Block("Size", note, tuple(rows))


def write_report(document: dict[str, Any], path: Path, *, force: bool = False) -> None:
    """Write the page of `document` (of `stats_document`) as the file `path`.

    Raises:
        OutputError: `path` exists and `force` is false, or it cannot be written.
    """
    check_report(path, force=force)
    write_bytes(path, page(document).encode())


def check_report(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse a place for a page that is taken, before any work is done for it; `force` replaces a page alone.

    Raises:
        OutputError: `path` exists and `force` is false, or it is no page, or cannot be written to, or lies in an input.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists():
        with path.open("rb") as file:
            if not file.read(len(_BEGIN)).lower() == _BEGIN:
                raise OutputError(f"output {path} exists already and is no page of plots: choose another name")


_BEGIN = b"<!doctype html>"


def page(document: dict[str, Any]) -> str:
    """The page as text; the same document gives the same text."""
    labels = labels_of(document["logs"])
    shown: list[dict[str, Any]] = []
    plots: dict[str, Any] = {}
    for number, block in enumerate(_blocks(document), 1):
        name = f"figure-{number}"
        if block.plot:
            plots[f"{name}-plot"] = _figure(block.plot, dict(zip(labels, COLORS, strict=False)))
        columns = [*labels, *(["difference"] if block.difference else [])]
        fields = {"title": block.title, "note": block.note, "rows": block.rows, "columns": columns}
        shown.append({**fields, "id": name, "plot": block.plot is not None})
    return render(
        Path(__file__).with_name("report.html.jinja"),
        plots=plots,
        title=f"Statistics of {' against '.join(labels)}",
        sets=[{"label": label, "color": color} for label, color in zip(labels, COLORS, strict=False)],
        blocks=shown,
    )


def _figure(plot: Plot, colors: dict[str, str]) -> dict[str, Any]:
    """The plot as plotly.js takes it."""
    traces = [
        {
            **(_rates(series) if series.intervals else {"type": "bar"}),
            "name": series.label,
            "x": list(series.categories),
            "y": list(series.shares),
            "marker": {"color": colors[series.label]},
            "hovertemplate": "%{x}: %{y:.2%}",
        }
        for series in plot.series
    ]
    return figure(
        traces,
        margin={"l": 62, "r": 8, "t": 8, "b": 44},
        showlegend=False,
        bargap=0.15,
        bargroupgap=0.05,
        xaxis={
            "title": {"text": plot.axis, "standoff": 8},
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(plot.categories),
            "automargin": True,
            "nticks": 0 if len(plot.categories) <= 24 else 20,
            "linecolor": GREY,
            "showgrid": False,
        },
        yaxis={
            "title": {"text": plot.share, "standoff": 8},
            "tickformat": ".2~%",
            "rangemode": "tozero",
            "gridcolor": GRID,
            "zerolinecolor": GREY,
        },
    )


def _rates(series: Series) -> dict[str, Any]:
    ends = [
        (share - low, high - share)
        for share, (low, high) in zip(series.shares, series.intervals or (), strict=True)
        if share is not None
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "line": {"width": 1.5},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high for _, high in ends],
            "arrayminus": [low for low, _ in ends],
            "thickness": 1,
            "width": 2,
        },
    }
