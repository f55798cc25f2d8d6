"""The plots of the report of a test of policies. Their values are those of the document, unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.core.text import printable
from edgerec.reports.drawing import COLORS, Figure, plot, short_label
from edgerec.reports.forest import around_zero, forest, intervals, zero_line
from edgerec.reports.mix_test.blocks import baselines_of, range_label
from edgerec.reports.mix_test.words import BEST, change_of, main_kind
from edgerec.reports.page import GREY
from edgerec.reports.uplift import Uplift, read_uplift

_DRAWN_PLACES = 40
_LEAST_CARDS = 0.01
"""Places, days and lengths with fewer cards, as a share of the largest number, are not drawn: they are only noise."""


def plots_of(document: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the plots by name. A name is the ID of its block, a hyphen, and what the plot shows."""
    kind = main_kind(document)
    goal = document["goals"].get(kind)
    share = f"share of {printable(kind)}"
    found = {
        # How far the policies are below hindsight is in the table.
        **{
            f"value-{index}": _value(document, against)
            for index, against in enumerate(baselines_of(document))
            if against != BEST or not index
        },
        "shares-days": _lines(
            {
                name: [(entry["day"], f"day {entry['day']}", entry["shares"][kind]) for entry in _enough(entries)]
                for name, entries in document["days"].items()
            },
            title=f"{share}, by day",
            goal=goal,
        ),
        "shares-cards": _ranges(
            document["cards"], kind, title=f"{share}, by how many cards the user has seen", goal=goal
        ),
        "lengths-share": _ranges(document["lengths"], kind, title=f"{share}, by cards in the session", goal=goal),
        **_places(document, kind, goal),
        **_prices(document),
        "predicted-ratio": _predicted(document),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _color(document_order: Sequence[str], name: str) -> str:
    """Return the colour of a policy: grey for the control."""
    index = list(document_order).index(name)
    return GREY if not index else COLORS[(index - 1) % (len(COLORS) - 1)]


def _value(document: Mapping[str, Any], against: str) -> Figure | None:
    rows = [
        (name, read_uplift(change_of(document, name, against, document["primary"])))
        for name in document["policies"]
        if name != against
    ]
    return forest(rows, title=f"Value at equal share, against {printable(against)}")


def _enough(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    least = _LEAST_CARDS * max((entry["cards"] for entry in entries), default=0)
    return [entry for entry in entries if entry["cards"] >= least]


def _ranges(
    policies: Mapping[str, Sequence[Mapping[str, Any]]], kind: str, *, title: str, goal: float | None
) -> Figure | None:
    lines = {
        name: [(range_label(entry), f"{range_label(entry)} cards", entry["shares"][kind]) for entry in _enough(entries)]
        for name, entries in policies.items()
    }
    return _lines(lines, title=title, goal=goal)


def _lines(
    policies: Mapping[str, Sequence[tuple[Any, str, float]]],
    *,
    title: str,
    goal: float | None = None,
    unit: str = "~%",
    colors: Mapping[str, str] | None = None,
) -> Figure | None:
    """Return a plot with a line for each policy. Points are (x, label, y)."""
    traces = []
    for name, points in policies.items():
        if not points:
            continue
        color = (colors or {}).get(name) or _color(list(policies), name)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": short_label(name),
                "x": [x for x, _, _ in points],
                "y": [y for _, _, y in points],
                "line": {"color": color, "width": 2},
                "marker": {"color": color, "size": 6},
                "customdata": [
                    f"{label}: {100 * y:.2f} %" if unit == "~%" else f"{label}: {y:+.3f}" for _, label, y in points
                ],
                "hovertemplate": "%{customdata}<extra>%{fullData.name}</extra>",
            }
        )
    if not traces:
        return None
    shapes = [] if goal is None else [_goal_line(goal)]
    categories = isinstance(traces[0]["x"][0], str)
    return plot(
        traces,
        height=280,
        title=title,
        xaxis={"type": "category"} if categories else {"dtick": 2 if len(traces[0]["x"]) > 8 else 1},
        yaxis={"tickformat": unit, "rangemode": "tozero"},
        shapes=shapes,
    )


def _goal_line(goal: float) -> dict[str, Any]:
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": goal, "y1": goal}
    return {"type": "line", **ends, "line": {"color": GREY, "width": 1, "dash": "dash"}, "layer": "below"}


def _places(document: Mapping[str, Any], kind: str, goal: float | None) -> dict[str, Figure | None]:
    """Return a small histogram for each policy, all with the same scale."""
    drawn = {
        name: [entry for entry in _enough(entries) if entry["place"] <= _DRAWN_PLACES]
        for name, entries in document["places"].items()
    }
    shares = {name: [entry["of"][kind] / entry["cards"] for entry in entries] for name, entries in drawn.items()}
    most = 1.08 * max((share for own in shares.values() for share in own), default=0.0)
    found: dict[str, Figure | None] = {}
    for index, (name, entries) in enumerate(drawn.items()):
        if not entries or not most:
            continue
        found[f"places-{index}"] = plot(
            [
                {
                    "type": "bar",
                    "name": short_label(name),
                    "x": [entry["place"] for entry in entries],
                    "y": shares[name],
                    "marker": {"color": _color(list(drawn), name)},
                    "customdata": [
                        f"place {entry['place']}: {100 * share:.1f} % of {entry['cards']:,} cards"
                        for entry, share in zip(entries, shares[name], strict=True)
                    ],
                    "hovertemplate": "%{customdata}<extra></extra>",
                }
            ],
            height=180,
            title=name,
            xaxis={"range": [0.3, _DRAWN_PLACES + 0.7], "dtick": 10, "tick0": 10, "showgrid": False},
            yaxis={"tickformat": "~%", "range": [0, most], "nticks": 4},
            shapes=[] if goal is None else [_goal_line(goal)],
            bargap=0.15,
        )
    return found


def _prices(document: Mapping[str, Any]) -> dict[str, Figure | None]:
    """Return prices over a user's cards and over days, with a plot for each policy that has prices."""
    kinds = document["kinds"]
    found: dict[str, Figure | None] = {}
    colors = {kind: COLORS[index % len(COLORS)] for index, kind in enumerate(kinds)}
    for index, name in enumerate(document["card_prices"]):
        cards, days = document["card_prices"][name], document["day_prices"].get(name) or []
        moving = [kind for kind in kinds if any(abs(entry["prices"][kind]) > 1e-9 for entry in [*cards, *days])]
        over_cards = {
            kind: [(range_label(entry), f"cards {range_label(entry)}", entry["prices"][kind]) for entry in cards]
            for kind in moving
        }
        over_days = {
            kind: [(entry["day"], f"day {entry['day']}", entry["prices"][kind]) for entry in days] for kind in moving
        }
        shown = printable(name)
        found[f"prices-cards-{index}"] = _lines(
            over_cards, title=f"{shown}: prices, by how many cards the user has seen", unit="~g", colors=colors
        )
        found[f"prices-days-{index}"] = _lines(over_days, title=f"{shown}: prices, by day", unit="~g", colors=colors)
    return found


def _predicted(document: Mapping[str, Any]) -> Figure | None:
    """Return predicted against true value by policy and kind, before and after a second calibration."""
    rows = [
        (f"{name}: {kind}", entry)
        for name, entries in document["predicted"].items()
        for kind, entry in entries.items()
        if entry["ratio"] is not None
    ]
    if not rows:
        return None
    traces = []
    for index, (key, bounds, name) in enumerate(
        (("ratio", "ci95", "as predicted"), ("refitted", "refitted_ci95", "after a second calibration"))
    ):
        found = [(place, label, _change(entry, key, bounds)) for place, (label, entry) in enumerate(rows)]
        known = [(place, label, each) for place, label, each in found if each.mean is not None]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [each.mean for _, _, each in known],
                "y": [place + 0.16 * (2 * index - 1) for place, _, _ in known],
                "error_x": intervals([each for _, _, each in known]),
                "marker": {"color": COLORS[1 - index], "size": 8},
                "customdata": [f"{label}, {name}: {each.brief(1)}" for _, label, each in known],
                "hovertemplate": "%{customdata}<extra></extra>",
            }
        )
    ends = [x for trace in traces for x in trace["x"]]  # type: ignore[attr-defined]
    return plot(
        traces,
        height=80 + 26 * len(rows),
        title="Predicted value against true value",
        xaxis={"tickformat": "+~%", "nticks": 6, "tickangle": 0, "range": around_zero(ends)},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [short_label(label) for label, _ in rows],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
        },
        shapes=[zero_line("x")],
    )


def _change(entry: Mapping[str, Any], key: str, bounds: str) -> Uplift:
    if entry[key] is None:
        return Uplift()
    ends = entry[bounds]
    return Uplift(entry[key] - 1, None if ends is None else (ends[0] - 1, ends[1] - 1))
