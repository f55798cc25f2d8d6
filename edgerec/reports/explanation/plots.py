"""The pictures of `edgerec explain`: the behaviours in time, and what each did to each candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.core.text import shown
from edgerec.reports.drawing import COLORS, Figure, plot, shown_label
from edgerec.reports.explanation.rows import KINDS, Document, of_kind, shown_candidates, strongest_behaviours
from edgerec.reports.page import GREY

RAISES, LOWERS, NEUTRAL = "#2f7fc1", "#d55e00", "rgba(128, 128, 128, 0.10)"
"""Colours of effects. Colour-blind readers can tell blue and orange apart; no effect is nearly transparent."""
AGES = (
    (1, "1 s"), (3, "3 s"), (10, "10 s"), (30, "30 s"), (60, "1 min"), (180, "3 min"), (600, "10 min"),
    (1800, "30 min"), (3600, "1 h"), (3 * 3600, "3 h"), (10 * 3600, "10 h"), (86400, "1 day"), (3 * 86400, "3 days"),
    (10 * 86400, "10 days"), (30 * 86400, "30 days"), (100 * 86400, "100 days"), (365 * 86400, "1 year"),
)  # fmt: skip
"""Possible ticks of the axis of time: seconds before the request. Each is about three times the one before."""
MOST_AGES = 7
TICKS = 5
"""Largest number of labels below a heat map."""
MOST_WITH_GAPS = 60
NAMED = 4
"""Number of behaviours that the picture of the timeline names."""
SYMBOLS = {"exposure": "circle", "page_view": "square"}
POSITIVE = {"add_favorite", "add_cart", "buy"}
LABEL = 18
"""Longest lines of the labels of axes, in characters."""


def plots_of(document: Document) -> dict[str, Figure]:
    """Return the plots by name. A kind without behaviours has no heat map."""
    found = {"timeline": _timeline(document)}
    kinds = [kind for kind in document["request"]["known"] if of_kind(document, kind)]
    found |= {f"effects-{kind}": _effects(document, kind) for kind in kinds}
    found |= {f"attention-{kind}": _attention(document, kind) for kind in kinds if document["attention"].get(kind)}
    return found


def _timeline(document: Document) -> Figure:
    """Return a mark for each behaviour: how long ago it was, and its largest effect on a candidate."""
    behaviours, traces = document["behaviours"], []
    for kind, color in zip(KINDS, COLORS, strict=False):
        rows = [behaviours[index] for index in of_kind(document, kind)]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": KINDS[kind],
                "x": [max(one["seconds_ago"], 1.0) for one in rows],
                "y": [one["largest_effect"] for one in rows],
                "text": [_label(one["words"], 44) for one in rows],
                "hovertemplate": "%{text}<br>largest effect %{y:.2f}<extra></extra>",
                "marker": {
                    "color": color,
                    "size": [13 if _is_strong(one) else 8 for one in rows],
                    "symbol": [_symbol(one) for one in rows],
                    "opacity": 0.85,
                },
            }
        )
    ticks = _ages([max(one["seconds_ago"], 1.0) for one in behaviours])
    return plot(
        traces,
        height=330,
        xaxis={
            "type": "log",
            "autorange": "reversed",
            "tickvals": [seconds for seconds, _ in ticks],
            "ticktext": [name for _, name in ticks],
            "tickangle": 0,
            "title": {"text": "before the request"},
        },
        yaxis={"rangemode": "tozero", "title": {"text": "largest effect, logits"}},
        annotations=[_annotation(behaviours[index], row) for row, index in enumerate(strongest_behaviours(document))][
            :NAMED
        ],
    )


def _ages(seconds: Sequence[float]) -> list[tuple[int, str]]:
    """Return the ticks between the latest and the oldest behaviour, at most `MOST_AGES`."""
    inside = [tick for tick in AGES if min(seconds) / 2 <= tick[0] <= 2 * max(seconds)]
    return inside[:: max(1, -(-len(inside) // MOST_AGES))]


def _annotation(behaviour: Mapping[str, Any], row: int) -> dict[str, Any]:
    """Return the number of a behaviour, at its mark. The table below the picture has the same number."""
    return {
        "x": math.log10(max(behaviour["seconds_ago"], 1.0)),
        "y": behaviour["largest_effect"],
        "text": str(row + 1),
        "showarrow": False,
        "yshift": 14,
        "font": {"size": 12},
    }


def _is_strong(behaviour: Mapping[str, Any]) -> bool:
    return any(behaviour["values"].get(column) for column in POSITIVE) or _symbol(behaviour) == "x"


def _symbol(behaviour: Mapping[str, Any]) -> str:
    """Return the shape of a mark: a star for an item that the user wanted, a cross for one that the user removed."""
    values = behaviour["values"]
    if values.get("delete_reason") not in (None, "", "none"):
        return "x"
    return "star" if any(values.get(column) for column in POSITIVE) else SYMBOLS[behaviour["kind"]]


def _effects(document: Document, kind: str) -> Figure:
    """Return a heat map of effects, minus their means over all candidates.

    Its `meta` has the numbers of both buttons of the page: these, and the effects themselves.
    """
    candidates, columns = shown_candidates(document), of_kind(document, kind)
    views: dict[str, dict[str, Any]] = {}
    for name, centred in (("order", True), ("score", False)):
        means = [_mean(document, column) if centred else 0.0 for column in columns]
        largest = _largest(document, centred=centred)
        z = [[one["effects"][column] - mean for column, mean in zip(columns, means, strict=True)] for one in candidates]
        ticks = _ends(-largest, largest)
        views[name] = {
            "z": [z],
            "zmin": -largest,
            "zmax": largest,
            "colorbar.tickvals": [ticks["tickvals"]],
            "colorbar.ticktext": [ticks["ticktext"]],
        }
    figure = _heat_map(
        document,
        columns,
        z=views["order"]["z"][0],
        text=[[_effect_text(document, one, column) for column in columns] for one in candidates],
        zmin=views["order"]["zmin"],
        zmax=views["order"]["zmax"],
        colorscale=[[0, LOWERS], [0.5, NEUTRAL], [1, RAISES]],
        unit="logits",
    )
    figure["layout"]["meta"] = views
    return figure


def _mean(document: Document, column: int) -> float:
    """Return the mean effect of a behaviour over all candidates."""
    every = [one["effects"][column] for one in document["candidates"]]
    return float(sum(every) / len(every))


def _largest(document: Document, *, centred: bool) -> float:
    """Return the largest effect on a shown candidate, of all kinds, so that their pictures have the same colours."""
    largest = 0.0
    for column in range(len(document["behaviours"])):
        mean = _mean(document, column) if centred else 0.0
        largest = max([largest, *(abs(one["effects"][column] - mean) for one in shown_candidates(document))])
    return largest or 1.0


def _attention(document: Document, kind: str) -> Figure:
    candidates, columns = shown_candidates(document), of_kind(document, kind)
    rows = [one["attention"][kind] for one in candidates]
    largest = max((abs(value) for row in rows for value in row), default=0.0) or 1.0
    signed = not document["attention"][kind]["normalised"]
    text = [
        [_attention_text(document, one, column, value, signed) for column, value in zip(columns, row, strict=True)]
        for one, row in zip(candidates, rows, strict=True)
    ]
    scale = [[0, LOWERS], [0.5, NEUTRAL], [1, RAISES]] if signed else [[0, NEUTRAL], [1, "#009e73"]]
    return _heat_map(
        document,
        columns,
        z=rows,
        text=text,
        zmin=-largest if signed else 0,
        zmax=largest,
        colorscale=scale,
        unit="weight",
    )


def _heat_map(
    document: Document,
    columns: Sequence[int],
    *,
    z: Sequence[Sequence[float]],
    text: Sequence[Sequence[str]],
    zmin: float,
    zmax: float,
    colorscale: Sequence[Sequence[Any]],
    unit: str,
) -> Figure:
    """Return a heat map with a row for each candidate to show, and a column for each behaviour, oldest first."""
    candidates, behaviours = shown_candidates(document), [document["behaviours"][index] for index in columns]
    labels = _labels([_short(one["ago"]) for one in behaviours])
    names = [_name_label(one) for one in candidates]
    trace = {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(names))),
        "z": [list(row) for row in z],
        "text": [list(row) for row in text],
        "hovertemplate": "%{text}<extra></extra>",
        "zmin": zmin,
        "zmax": zmax,
        "colorscale": [list(stop) for stop in colorscale],
        # On a phone, a column of a hundred is about as wide as a gap.
        "xgap": 1 if len(columns) <= MOST_WITH_GAPS else 0,
        "ygap": 2,
        "colorbar": {
            "title": {"text": unit, "side": "right"},
            "orientation": "h",
            "thickness": 8,
            "len": 0.6,
            "x": 0.5,
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "outlinewidth": 0,
            "tickangle": 0,
            **_ends(zmin, zmax),
        },
    }
    figure = plot(
        [trace],
        height=130 + sum(max(30, 17 * (1 + name.count("<br>"))) for name in names),
        xaxis={
            "tickvals": [place for place, _ in labels],
            "ticktext": [_label(label, LABEL) for _, label in labels],
            "tickangle": 0,
            "showgrid": False,
            "title": {"text": "before the request"},
        },
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "autorange": "reversed",
            "showgrid": False,
            "tickfont": {"size": 11, "color": GREY},
        },
    )
    # The last label needs room at the right, and the colours below.
    figure["layout"]["margin"] |= {"b": 84, "r": 30}
    return figure


def _ends(low: float, high: float) -> dict[str, Any]:
    """Return the ticks of the colours: both ends and zero. They fit on a phone."""
    values = sorted({low, 0.0, high})
    return {"tickvals": values, "ticktext": [f"{value:.2g}" for value in values]}


def _name_label(candidate: Mapping[str, Any]) -> str:
    """Return the position and the name of a candidate, with what is in brackets on lines of its own."""
    name, bracket, rest = str(candidate["name"]).partition(" (")
    lines = [f"{candidate['rank']}. {name}", *([f"({rest}"] if bracket else [])]
    return "<br>".join(_label(line, LABEL) for line in lines)


def _short(ago: str) -> str:
    return ago.removesuffix(" ago").replace("less than ", "< ")


def _labels(ages: Sequence[str]) -> list[tuple[float, str]]:
    """Return the labels of columns in ascending order: each age in the middle of the columns that have it.

    Labels that would overlap are left out, the older ones first.
    """
    ends = [index for index in range(len(ages)) if index + 1 == len(ages) or ages[index] != ages[index + 1]]
    starts = [0, *(end + 1 for end in ends[:-1])]
    kept: list[tuple[float, str]] = []
    for start, end in zip(reversed(starts), reversed(ends), strict=True):
        place = (start + end) / 2
        if not kept or kept[-1][0] - place >= len(ages) / TICKS:
            kept.append((place, ages[end]))
    return kept[::-1]


def _effect_text(document: Document, candidate: Mapping[str, Any], column: int) -> str:
    effect, without = candidate["effects"][column], candidate["ranks_without"][column]
    behaviour = document["behaviours"][column]
    return (
        f"{_label(candidate['name'], 44)}<br>{_label('The user ' + behaviour['words'], 44)}<br>"
        f"effect {effect:+.3f} logits; position {candidate['rank']}, without it {without}"
    )


def _attention_text(document: Document, candidate: Mapping[str, Any], column: int, value: float, signed: bool) -> str:
    weight = f"weight {value:+.3f}" if signed else f"{100 * value:.1f} % of the attention"
    words = _label("The user " + document["behaviours"][column]["words"], 44)
    return f"{_label(candidate['name'], 44)}<br>{words}<br>{weight}"


def _label(text: str, width: int) -> str:
    """Return text from outside for plotly: with visible control characters, escaped and wrapped."""
    return shown_label(shown(text), width)
