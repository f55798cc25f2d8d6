"""The table of `edgerec bench compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import shown


def compare_table(document: Mapping[str, Any]) -> RenderableType:
    """Return the table of a comparison, its verdict, and its notes."""
    rows = [
        (
            row["row"],
            f"{row['a_us']:,.1f}",
            f"{row['b_us']:,.1f}",
            f"{row['ratio']:.3f}",
            f"{row['ci95'][0]:.3f} to {row['ci95'][1]:.3f}",
            f"{row['p_adjusted']:.2g}",
            row["verdict"],
        )
        for row in document["rows"]
    ]
    columns = ("", "A, us", "B, us", "B / A", "95 % interval", "p", "")
    title = "median duration of a call, over processes; p is adjusted for the number of rows"
    notes = [Text(shown(f"Note: {note}.")) for note in document["notes"]]
    return Group(table_of(columns, rows, title=title), Text(f"Verdict: {document['verdict']}"), *notes)
