"""The parts of a report: blocks with tables, which the page, the Markdown and the terminal show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SHOWN = 4
"""Number of listed sentences that are shown. The others are folded."""


@dataclass(frozen=True)
class Table:
    """A table of cells.

    Attributes:
        columns: heads of the columns.
        rows: cells of each row.
        texts: number of columns at the left that contain text. The others contain numbers.
        last_is_text: whether the last column contains text, too.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    last_is_text: bool = False

    def is_text(self, column: int) -> bool:
        """Return whether the column with this index contains text."""
        return column < self.texts or (self.last_is_text and column == len(self.columns) - 1)


@dataclass(frozen=True)
class Block:
    """A section of a report.

    Attributes:
        id: name of the section. Its plots have names that start with it.
        title: head of the section.
        note: what the numbers are, as sentences.
        table: the table, or None if the section has only sentences.
        folded: whether the page shows the table only when the reader opens it.
        items: sentences that the section lists.
        prose: whether the table has sentences, which wrap, instead of numbers.
    """

    id: str
    title: str
    note: str = ""
    table: Table | None = None
    folded: bool = False
    items: Sequence[str] = field(default_factory=list)
    prose: bool = False
