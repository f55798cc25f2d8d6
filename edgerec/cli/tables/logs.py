"""The table of `edgerec stats`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from edgerec.cli.output import table_of
from edgerec.reports.statistics.blocks import Row, labels_of
from edgerec.reports.statistics.document_blocks import document_blocks


def stats_table(document: dict[str, Any]) -> Table:
    """Return the table of the document of `stats_document`. It has all blocks with the attribute `brief`."""
    labels = labels_of(document["logs"])
    columns = ["", *labels, *(["difference"] if len(labels) > 1 else [])]
    empty = ("",) * len(columns)
    rows: list[Row] = []
    for block in document_blocks(document):
        if block.brief:
            rows += [empty] if rows else []
            rows.append((block.title, *empty[1:]))
            rows += [(f"  {row[0]}", *row[1:], *empty)[: len(columns)] for row in block.rows]
    return table_of(columns, rows)
