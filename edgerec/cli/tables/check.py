"""The table of `edgerec check`."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import counted, shown

HEADER = ("severity", "column", "first case", "rows", "what")


def check_table(document: dict[str, Any]) -> Group:
    """Return the findings as a table, what was not checked, and the counts as the last line."""
    lines = [f"not checked: {what}" for what in document["skipped"]]
    left = document["errors"] + document["warnings"] - len(document["findings"])
    if left:
        lines.append(f"{counted(left, 'more finding', 'more findings')}: give a larger --most")
    errors = counted(document["errors"], "error", "errors")
    warnings = counted(document["warnings"], "warning", "warnings")
    lines.append(f"{errors}, {warnings} in {counted(sum(document['rows'].values()), 'row', 'rows')}")
    parts: list[Table | Text] = []
    if document["findings"]:
        parts = [table_of(HEADER, [row for finding in document["findings"] for row in _rows(finding)], texts=5)]
    return Group(*parts, *(Text(shown(line)) for line in lines))


def _rows(finding: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return one row for each of: expected, found, what to do. The first row has the place, too."""
    name = ".".join(part for part in (finding["table"], finding["column"]) if part)
    place = finding["file"] or ""
    if finding["row"] is not None:
        place += f"{', ' if place else ''}row {finding['row']:,}"
    if finding["files"] > 1:
        place += f" (and {counted(finding['files'] - 1, 'more file', 'more files')})"
    rows = "" if finding["rows"] is None else f"{finding['rows']:,}"
    return [
        (finding["severity"], name, place, rows, f"expected: {finding['expected']}"),
        ("", "", "", "", f"found: {finding['found']}"),
        ("", "", "", "", f"do: {finding['advice']}"),
    ]
