"""A block of a report as a table for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import shown
from edgerec.reports.block import Block, Table

GAP = 2
"""Blanks between two columns."""


def block_table(block: Block, table: Table | None = None) -> Group:
    """Return the title, the note and the table of a block. A text may wrap, a number never does.

    Args:
        block: the block.
        table: the table to show instead of that of the block.
    """
    shown_table = table or block.table
    parts: list[RenderableType] = [Text(block.title, style="bold")]
    if block.note:
        parts.append(Text(shown(block.note)))
    if shown_table is not None:
        drawn = table_of(shown_table.columns, shown_table.rows, texts=shown_table.texts)
        drawn.padding = (0, GAP // 2)
        drawn.show_header = any(shown_table.columns)
        for index, column in enumerate(drawn.columns):
            column.no_wrap = index >= shown_table.texts
            column.justify = "left" if shown_table.is_text(index) else "right"
        parts.append(drawn)
    return Group(*parts)
