"""A block of a report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Container

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import shown
from edgerec.reports.block import Block, Table

GAP = 2
"""Blanks between two columns."""
LABEL = 12
"""A text column is never narrower than this, or than its longest text. So a label wraps, and is never dropped."""


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
        columns = len(shown_table.columns)
        drawn = table_of(shown_table.columns, shown_table.rows, texts=shown_table.texts)
        drawn.show_header = any(shown_table.columns)
        for index, column in enumerate(drawn.columns):
            column.justify = "left" if shown_table.is_text(index) else "right"
        parts.append(keep_whole(drawn, texts=[index for index in range(columns) if shown_table.is_text(index)]))
    return Group(*parts)


def keep_whole(drawn: RichTable, *, texts: Container[int] = (0,)) -> RichTable:
    """Set the columns of a table so that no number is cut and no label is dropped, however narrow the terminal is.

    Args:
        drawn: the table.
        texts: the columns with text.

    Returns:
        The same table.
    """
    drawn.padding = (0, GAP // 2)
    for index, column in enumerate(drawn.columns):
        # rich asks a column that does not wrap for its longest word, not for its longest cell.
        cells = [str(cell) for cell in (column.header, *column.cells)] if drawn.show_header else map(str, column.cells)
        longest = max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
        column.no_wrap = index not in texts
        column.min_width = min(longest, LABEL) if index in texts else longest
    return drawn
