"""Blocks of a page that show distributions and shares.

They are the number of behaviours before a request, and the shares of actions, users, lists, triggers and hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgerec.core.text import shown
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.reports.statistics.blocks import (
    Block,
    DataSet,
    Plot,
    Row,
    Series,
    cells,
    labels_of,
    number,
    percent,
    short,
    union,
)

KINDS = {kind.plural: kind.plural.replace("_", "-") for kind in BEHAVIOUR_KINDS}
"""For each kind of behaviour, its key in the document and its name in texts."""
BARS = "Each bar starts at its number and ends at the number of the next bar. The outer bars include all values beyond."

Figures = Sequence[Mapping[str, Any] | None]
"""A statistic of each data set. None if a data set does not have it."""
Shares = Mapping[str, float | None]


def share_blocks(sets: Sequence[DataSet]) -> Iterator[Block]:
    """Yield all blocks for one or two data sets, except the blocks of click rates."""
    for key in KINDS:
        yield _known(sets, key)
    for key in KINDS:
        yield from _actions(sets, key)
    for key in KINDS:
        yield from _numbers(sets, key)
    if any(entry["opened_from"] for entry in sets):
        yield _shares(
            "Page-views by where they were opened",
            "From where users opened the page of an item, for example from the feed or from a search.",
            sets,
            [_named(entry["opened_from"], "value") for entry in sets],
            axis="opened from",
            share="share of page-views",
        )
    yield _distribution(
        "List lengths",
        "Number of candidates in the list of the first request of each page. All candidates count, exposed or not.",
        sets,
        [entry["list_lengths"] for entry in sets],
        axis="candidates",
        share="share of pages",
    )
    yield _distribution(
        "Users by exposures",
        "Number of exposures of each user who has a request, over the whole period of the logs.",
        sets,
        [entry["users_by_exposures"] for entry in sets],
        axis="exposures",
        share="share of users",
    )
    tenths = [entry["users_by_exposures"]["share_by_tenth"] for entry in sets]
    yield _shares(
        "Exposures by tenth of users",
        "Users are sorted by exposures and divided into ten groups of equal size. Each bar is a group's share.",
        sets,
        [{str(place): share for place, share in enumerate(part, 1)} for part in tenths],
        axis="tenth of users, the least active first",
        share="share of exposures",
    )
    yield _shares(
        "Requests by trigger",
        "The event that started the request: a page arrived, or the user did something.",
        sets,
        [_named(entry["triggers"], "trigger") for entry in sets],
        axis="trigger",
        share="share of requests",
    )
    yield _shares(
        "Requests by hour",
        "Hours are in UTC. If users live in another time zone, their evening is at another hour.",
        sets,
        [{str(row["hour"]): row["share"] for row in entry["hours"]} for entry in sets],
        axis="hour of day (UTC)",
        share="share of requests",
        brief=False,
    )


def _named(rows: Sequence[Mapping[str, Any]] | None, key: str) -> Shares | None:
    return None if rows is None else {shown(row[key]) or "(empty)": row["share"] for row in rows}


def _shares(
    title: str,
    note: str,
    sets: Sequence[DataSet],
    parts: Sequence[Shares | None],
    *,
    axis: str,
    share: str,
    brief: bool = True,
) -> Block:
    """Return a block of shares by name. `parts` has the shares of each data set, or None if it has none."""
    names = union(part or {} for part in parts)
    series = tuple(
        Series(label, tuple(part), tuple(part.values()))
        for label, part in zip(labels_of(sets), parts, strict=True)
        if part
    )
    rows = tuple(cells(name, [(part or {}).get(name) for part in parts], percent) for name in names)
    return Block(title, note, rows, Plot(series, names, axis, share) if series else None, brief=brief)


def _quantiles(figures: Figures, first: str) -> list[Row]:
    """Return four rows of the table: `first`, which is a key such as `mean`, and the quantiles p50, p90 and p99."""
    return [
        cells(key, [None if figure is None else figure[key] for figure in figures], number)
        for key in (first, "p50", "p90", "p99")
    ]


def _histogram(sets: Sequence[DataSet], figures: Figures, *, axis: str, share: str) -> Plot | None:
    series = []
    for label, figure in zip(labels_of(sets), figures, strict=True):
        if figure is not None and figure["histogram"]:
            bars = figure["histogram"]
            total = sum(bar["count"] for bar in bars)
            shares = tuple(bar["count"] / total for bar in bars)
            series.append(Series(label, tuple(short(bar["from"]) for bar in bars), shares))
    return Plot(tuple(series), series[0].categories, axis, share) if series else None


def _distribution(
    title: str, note: str, sets: Sequence[DataSet], figures: Figures, *, axis: str, share: str, more: Sequence[Row] = ()
) -> Block:
    rows = (*_quantiles(figures, "mean"), cells("max", [figure and figure["max"] for figure in figures], number), *more)
    return Block(title, f"{note} {BARS}", rows, _histogram(sets, figures, axis=axis, share=share))


def _known(sets: Sequence[DataSet], key: str) -> Block:
    figures = [entry["known"][key] for entry in sets]
    capped = [figure["capped"] for figure in figures]
    limit = capped[0]["limit"]
    more = [(f"{name}, at most {limit}", *row) for name, *row in _quantiles(capped, "mean")]
    more.append(cells(f"{limit} or more", [figure["at_limit"] for figure in capped], percent))
    return _distribution(
        f"{KINDS[key].capitalize()} known at a request",
        f"Number of {KINDS[key]} of the user before each request. By default, samples have only the latest {limit}.",
        sets,
        figures,
        axis=KINDS[key],
        share="share of requests",
        more=more,
    )


def _actions(sets: Sequence[DataSet], key: str) -> Iterator[Block]:
    """Yield one block for all binary features, and one block for each other feature that lists its values."""
    parts = [{row["feature"]: row for row in entry["actions"][key]} for entry in sets]
    binary = {name: _is_binary(row) for part in parts for name, row in part.items()}
    if any(binary.values()):
        yield _shares(
            f"Actions of {KINDS[key]}",
            f"Share of {KINDS[key]} whose value is above the threshold of the feature. Empty values are not above it.",
            sets,
            [_above(part) for part in parts],
            axis="feature",
            share=f"share of {KINDS[key]}",
        )
    for name in union(parts):
        if not binary[name]:
            yield _shares(
                f"{name} of {KINDS[key]}",
                f"Share of {KINDS[key]} by the value of this feature.",
                sets,
                [_by_value(part[name]) if name in part else None for part in parts],
                axis="value",
                share=f"share of {KINDS[key]}",
            )


def _is_binary(row: Mapping[str, Any]) -> bool:
    """Return whether a feature is binary: it has exactly two values. The first stands for "above the threshold"."""
    return len(row["values"]) == 2 and "other" not in row


def _above(part: Mapping[str, Any]) -> Shares:
    """Return the share above the threshold of each binary feature, and its share of empty values if it has any."""
    shares = {}
    for name, row in part.items():
        if _is_binary(row):
            shares[name] = row["values"][0]["share"]
            if row["missing"]["count"]:
                shares[f"{name}: empty"] = row["missing"]["share"]
    return shares


def _by_value(row: Mapping[str, Any]) -> Shares:
    rest = {"(other)": row.get("other"), "(empty)": row["missing"]}
    shares = {entry["value"]: entry["share"] for entry in row["values"]}
    return shares | {name: entry["share"] for name, entry in rest.items() if entry and entry["count"]}


def _numbers(sets: Sequence[DataSet], key: str) -> Iterator[Block]:
    parts = [{row["source"]: row for row in entry["numbers"][key]} for entry in sets]
    for source in union(parts):
        figures = [part.get(source) for part in parts]
        names = union(figure["features"] for figure in figures if figure)
        readers = f"features {' and '.join(names)} read" if len(names) > 1 else f"feature {names[0]} reads"
        missing = cells("empty", [figure and figure["missing"]["share"] for figure in figures], percent)
        yield Block(
            f"{source} of {KINDS[key]}",
            f"Values of the column that {readers}. {BARS}",
            (*_quantiles(figures, "p10"), missing),
            _histogram(sets, figures, axis=source, share=f"share of {KINDS[key]} with a value"),
        )
