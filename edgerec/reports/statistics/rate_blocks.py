"""Blocks of click rates: by position, by earlier exposures of the item, and by earlier exposures of its category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgerec.core.statistics import wilson
from edgerec.core.text import format_value
from edgerec.reports.statistics.blocks import (
    NONE,
    Block,
    DataSet,
    Plot,
    Row,
    Series,
    cells,
    labels_of,
    number,
    percent,
    union,
)

FEWEST = 100
"""Minimum number of exposures of a bucket in a plot. With fewer exposures, its interval would fill the plot."""
POSITION_RANGES = (*((position, position) for position in range(1, 6)), (6, 10), (11, 20), (21, 50), (51, 100))
"""First and last position of each row of the table. The plot shows each position up to 100 and all later ones together,
as the document does."""


def rate_text(entry: Mapping[str, Any]) -> str:
    """Return a rate with its interval as text."""
    if entry["rate"] is None:
        return NONE
    low, high = (percent(end) for end in entry["ci95"])
    return f"{percent(entry['rate'])} ({low.removesuffix(' %')} to {high.removesuffix(' %')})"


def rate_blocks(sets: Sequence[DataSet], comparison: Mapping[str, Any] | None) -> list[Block]:
    """Return the blocks of click rates of one or two data sets. `comparison` is that of the document."""
    return [_by_position(sets), _by_item(sets), _steps(sets, comparison), _by_category(sets)]


def _of_text(entry: Mapping[str, Any]) -> str:
    return NONE if entry["rate"] is None else f"{rate_text(entry)} of {format_value(entry['exposures'])}"


def _block(title: str, note: str, sets: Sequence[DataSet], rates: Sequence[Any], *, key: str, axis: str) -> Block:
    """Return a block of rates by bucket. `rates` has a list of rows for each data set, or None."""
    parts = [None if rows is None else {row[key]: row for row in rows} for rows in rates]
    names = union(part or {} for part in parts)
    drawn = [{name: row for name, row in (part or {}).items() if row["exposures"] >= FEWEST} for part in parts]
    series = tuple(
        Series(
            label,
            tuple(part),
            tuple(row["rate"] for row in part.values()),
            tuple((row["ci95"][0], row["ci95"][1]) for row in part.values()),
        )
        for label, part in zip(labels_of(sets), drawn, strict=True)
        if part
    )
    categories = tuple(name for name in names if any(name in part for part in drawn))
    return Block(
        title,
        f"{note} Buckets of fewer than {FEWEST} exposures are not drawn.",
        tuple(cells(name, [(part or {}).get(name) for part in parts], _of_text) for name in names),
        Plot(series, categories, axis, "click rate") if series else None,
    )


def _by_position(sets: Sequence[DataSet]) -> Block:
    rates = [entry["click_rate"]["position"] for entry in sets]
    block = _block(
        "Click rate by position",
        "The position of an item in the list of the first request of its page, counted from 1. If lists are not in "
        "ranked order, as in EB-NeRD, a slope only reflects the layout of the pages.",
        sets,
        rates,
        key="position",
        axis="position in the list",
    )
    rows: list[Row] = []
    for first, last in (*POSITION_RANGES, (POSITION_RANGES[-1][1] + 1, None)):
        name = f"{first}+" if last is None else str(first) if first == last else f"{first}-{last}"
        pooled = [_pooled(row for row in part if _within(row["position"], first, last)) for part in rates]
        if any(pooled):
            rows.append(cells(name, pooled, _of_text))
    return replace(block, rows=tuple(rows))


def _within(position: str, first: int, last: int | None) -> bool:
    number = int(position.removesuffix("+"))
    return number >= first and (last is None or number <= last)


def _pooled(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the sum of several rows as one row, or None if there are no rows."""
    counts = [(row["exposures"], row["clicks"]) for row in rows]
    if not counts:
        return None
    exposures, clicks = (sum(column) for column in zip(*counts, strict=True))
    return {"exposures": exposures, "rate": clicks / exposures, "ci95": wilson(clicks, exposures)}


def _by_item(sets: Sequence[DataSet]) -> Block:
    return _block(
        "Click rate by earlier exposures of the item",
        "The number of times that the item was shown to the user before the page. A decline has two causes: users lose "
        "interest in an item that they passed over, and users who passed over it were less interested from the start.",
        sets,
        [entry["click_rate"]["item_exposures"] for entry in sets],
        key="earlier",
        axis="earlier exposures",
    )


def _steps(sets: Sequence[DataSet], comparison: Mapping[str, Any] | None) -> Block:
    parts = [entry["click_rate"]["item_exposures"] for entry in sets]
    rows: list[Row] = []
    for index in range(1, len(parts[0])):
        name = f"{parts[0][index - 1]['earlier']} to {parts[0][index]['earlier']}"
        row = cells(name, [part[index]["to_previous"] for part in parts], number)
        if comparison is not None:
            difference = comparison["item_exposures"][index - 1]["difference"]
            row = (*row, NONE if difference is None else f"{100 * difference:+.1f} %")
        rows.append(row)
    note = (
        "Each click rate of the block above, divided by the rate in the row before. It shows the decline, whatever the "
        "level of the click rate."
    )
    if comparison is not None:
        first, second = labels_of(sets)
        note += f" The difference is how far {first} is above or below {second}, relative to {second}."
    return Block("Change of the click rate with each exposure", note, tuple(rows), difference=comparison is not None)


def _by_category(sets: Sequence[DataSet]) -> Block:
    title = "Click rate by earlier exposures of the category"
    rates = [entry["click_rate"]["category_exposures"] for entry in sets]
    without = [label for label, rows in zip(labels_of(sets), rates, strict=True) if rows is None]
    left_out = f"Left out for {' and '.join(without)}: items have no column 'category'." if without else ""
    if len(without) == len(sets):
        return Block(title, left_out, (cells("left out", sets, lambda _: "no category"),))
    block = _block(
        title,
        "The number of exposures of the item's category since the user last opened an item of that category. Only "
        f"events before the request of the page are counted. {left_out}".rstrip(),
        sets,
        rates,
        key="earlier",
        axis="exposures since the last page-view",
    )
    unknown = [entry["click_rate"]["without_category"] for entry in sets]
    if any(unknown):
        row = cells("no category", unknown, lambda count: f"{format_value(count)} exposures")
        block = replace(block, rows=(*block.rows, row))
    return block
