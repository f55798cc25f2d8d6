"""The tables of `edgerec bench report`. They fit into 100 columns: a name may wrap, a number never does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from edgerec.cli.tables.block import GAP, block_table
from edgerec.core.text import shown
from edgerec.reports.bench.blocks import blocks_of
from edgerec.reports.bench.devices import devices_of
from edgerec.reports.block import SHOWN, Block, Table

_OPTIONAL = ("p99.9", "n", "calls/s")
"""Columns that are left out, one after the other, while the table is too wide."""
_SWEEPS = ("steps", "candidates", "threads")
"""Blocks of sweeps. They show only p50, with a column for each value of the parameter."""
_NAMES = "names"
"""The block that explains the names. docs/bench.md does, too."""


def report_tables(documents: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> RenderableType:
    """Return the tables of a report, and then its warnings. If there are several devices, letters name them."""
    devices = devices_of(documents, files)
    parts: list[RenderableType] = []
    if len(devices) > 1:
        short = devices_of(documents, files, letters=True)
        parts += [Text(shown(f"{letter.label}: {name.label}")) for letter, name in zip(short, devices, strict=True)]
    blocks = [block for block in blocks_of(documents, files, letters=True) if block.id != _NAMES]
    for block in blocks:
        if block.table is not None:
            parts += [*([""] if parts else []), _ReportTable(block)]
    for block in blocks:
        if block.items:
            rest = len(block.items) - SHOWN
            more = [f"and {rest} more, see --html, --markdown or --json"] if rest > 0 else []
            parts += ["", Text(block.title), *(Text(shown(f"- {item}")) for item in (*block.items[:SHOWN], *more))]
    return Group(*parts)


class _ReportTable:
    """A block with its title. The width of the terminal decides which columns are shown."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        block = self._block
        assert block.table is not None
        table = _by_value(block.table) if block.id in _SWEEPS else _with_headings(block.table)
        for name in _OPTIONAL:
            if _width(table) > options.max_width and name in table.columns:
                table = _without(table, table.columns.index(name))
        yield block_table(block, table)


def _with_headings(table: Table) -> Table:
    """Return the table without its column `stage`: each stage is a heading above its rows."""
    if table.columns[0] != "stage":
        return table
    rows: list[Sequence[str]] = []
    for stage in dict.fromkeys(row[0] for row in table.rows):
        rows.append((stage, *[""] * (len(table.columns) - 2)))
        rows += [(f"  {row[1]}", *row[2:]) for row in table.rows if row[0] == stage]
    return Table(("", *table.columns[2:]), rows, table.texts - 1, table.last_is_text)


def _by_value(table: Table) -> Table:
    """Return the p50 of a sweep, with a column for each value of its parameter. The parameter is the second column."""
    p50 = table.columns.index("p50")
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in table.rows:
        found.setdefault((row[0], *row[2 : table.texts]), {})[row[1]] = row[p50]
    values = list(dict.fromkeys(row[1] for row in table.rows))
    rows = [(*key, *(each.get(value, "") for value in values)) for key, each in found.items()]
    return Table((f"p50 by {table.columns[1]}", *table.columns[2 : table.texts], *values), rows, table.texts - 1)


def _without(table: Table, index: int) -> Table:
    def cut(cells: Sequence[str]) -> Sequence[str]:
        return (*cells[:index], *cells[index + 1 :])

    return Table(cut(table.columns), [cut(row) for row in table.rows], table.texts, table.last_is_text)


def _width(table: Table) -> int:
    columns = zip(table.columns, *table.rows, strict=True)
    return sum(max(len(cell) for cell in column) + GAP for column in columns) - GAP
