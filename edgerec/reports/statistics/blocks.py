"""The blocks of `edgerec stats`. A block shows one statistic on the terminal and on the page.

The module also has the functions that write numbers as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgerec.core.text import format_value, shown

NONE = "-"
Row = tuple[str, ...]
"""A label, and a cell for each data set."""
DataSet = dict[str, Any]
"""The part of the document for one data set."""


@dataclass(frozen=True)
class Series:
    """The shares of one data set in a plot.

    Attributes:
        label: name of the data set.
        categories: names along the axis.
        shares: (categories,) from 0 to 1. None if a category has no share.
        intervals: (categories,) both ends of the interval of each rate. None if the shares are not rates.
    """

    label: str
    categories: tuple[str, ...]
    shares: tuple[float | None, ...]
    intervals: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Plot:
    """The plot of a block.

    Attributes:
        series: one for each data set that has the statistic.
        categories: categories of all series, in order.
        axis: title of the axis of categories.
        share: title of the axis of shares.
    """

    series: tuple[Series, ...]
    categories: tuple[str, ...]
    axis: str
    share: str


@dataclass(frozen=True)
class Block:
    """A block: a heading, a note, a table and usually a plot.

    Attributes:
        title: the heading.
        note: explains the block.
        rows: rows of the table.
        plot: the plot, or None.
        difference: whether each row has one more cell, which compares the data sets.
        brief: whether the block is also shown on the terminal.
    """

    title: str
    note: str
    rows: tuple[Row, ...] = ()
    plot: Plot | None = None
    difference: bool = False
    brief: bool = True


def cells(label: str, entries: Iterable[Any], write: Callable[[Any], str]) -> Row:
    """Return a row: `label`, then the text that `write` returns for each of `entries`. None means no value."""
    return (label, *(NONE if entry is None else write(entry) for entry in entries))


def union(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return all names once, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for part in parts for name in part))


def labels_of(sets: Sequence[DataSet]) -> list[str]:
    """Return the names of the data sets."""
    return [shown(entry["label"]) for entry in sets]


def percent(share: float | None) -> str:
    """Return a share as text with two or three significant digits."""
    if share is None:
        return NONE
    points = 100 * share
    digits = 1 if abs(points) >= 10 else 2 if abs(points) >= 0.1 or share == 0 else 3
    return f"{points:.{digits}f} %"


def number(value: float | None) -> str:
    """Return a number as text with four significant digits. Integers keep all digits."""
    if value is None or isinstance(value, int):
        return NONE if value is None else format_value(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def short(value: float) -> str:
    """Return a number as text for an axis, for example 1500 as `1.5k`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
