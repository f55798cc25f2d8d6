"""The tables of `edgerec bench report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import shown
from edgerec.reports.bench.blocks import blocks_of


def report_tables(documents: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> RenderableType:
    """Return the tables of a report, each with its title, and its warnings."""
    parts: list[RenderableType] = []
    for block in blocks_of(documents, files):
        parts += [Text(shown(f"{block.title}: {item}")) for item in block.items]
        if block.table is not None:
            table = block.table
            parts.append(table_of(table.columns, table.rows, title=f"\n{block.title}", texts=table.texts))
    return Group(*parts)
