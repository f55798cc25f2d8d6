"""Blocks: one figure of `edgerec stats` each, for the terminal and the page alike; and how numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgerec.core.text import format_value, shown

NONE = "-"
Row = tuple[str, ...]
"""A label, and a cell for each data set."""
DataSet = dict[str, Any]
"""One data set's part of the document."""


@dataclass(frozen=True)
class Series:
    """One data set's shares.

    Attributes:
        label: of the data set.
        categories: along the axis.
        shares: (categories,) from 0 to 1; None where there is none.
        intervals: (categories,) low and high of each, for rates.
    """

    label: str
    categories: tuple[str, ...]
    shares: tuple[float | None, ...]
    intervals: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Plot:
    """What is drawn of a figure.

    Attributes:
        series: of the data sets that have it.
        categories: of all of them, in order.
        axis: what the categories are.
        share: what the shares are.
    """

    series: tuple[Series, ...]
    categories: tuple[str, ...]
    axis: str
    share: str


@dataclass(frozen=True)
class Block:
    """A figure: a heading, a table, mostly a plot, and what it says.

    Attributes:
        title: the heading.
        note: how to read it.
        rows: of the table.
        plot: None where nothing is drawn.
        difference: rows have one more cell, which compares the data sets.
        brief: shown on the terminal, too.
    """

    title: str
    note: str
    rows: tuple[Row, ...] = ()
    plot: Plot | None = None
    difference: bool = False
    brief: bool = True


def cells(label: str, entries: Iterable[Any], write: Callable[[Any], str]) -> Row:
    """A row: `label`, and each of `entries` as `write` has it; None is a data set without."""
    return (label, *(NONE if entry is None else write(entry) for entry in entries))


def union(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All names, in the order in which they come first."""
    return tuple(dict.fromkeys(name for part in parts for name in part))


def labels_of(sets: Sequence[DataSet]) -> list[str]:
    """What the data sets are called."""
    return [shown(entry["label"]) for entry in sets]


def percent(share: float | None) -> str:
    """A share as people read it, with two or three digits that count."""
    if share is None:
        return NONE
    points = 100 * share
    digits = 1 if abs(points) >= 10 else 2 if abs(points) >= 0.1 or share == 0 else 3
    return f"{points:.{digits}f} %"


def number(value: float | None) -> str:
    """A number as people read it, with four digits that count; whole ones whole."""
    if value is None or isinstance(value, int):
        return NONE if value is None else format_value(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def short(value: float) -> str:
    """A number for an axis: 1500 as `1.5k`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
