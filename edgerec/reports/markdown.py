"""Blocks of a report as GitHub's Markdown, and the check of the file that a report replaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edgerec.core.atomic import FILE, check_output
from edgerec.core.errors import OutputError
from edgerec.core.text import printable
from edgerec.reports.block import SHOWN, Block, Table


def check_report(path: Path, *, begin: str, command: str, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Check that a report can be written to `path`. Commands call this before they start to work.

    With `force`, `path` may exist if it is such a report.

    Args:
        path: file of the report.
        begin: the first line of such a report.
        command: the command that writes such reports, for the error text.
        force: whether a report may be replaced.
        inputs: files and folders that should not contain the report.

    Raises:
        OutputError: `path` exists and `force` is false, it is another file, it cannot be written, or it is inside an
            input.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(begin.encode())) != begin.encode():
                raise OutputError(f"output {path} already exists and is no report of `{command}`: choose another name")


def to_markdown(head: Iterable[str], blocks: Iterable[Block]) -> str:
    """Return a report: the lines of `head`, then each block. Equal blocks give equal text."""
    lines = [*head, ""]
    for block in blocks:
        lines += _block(block)
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> Iterator[str]:
    yield from (f"### {escaped(block.title)}", "")
    items = [f"- {escaped(item)}" for item in block.items]
    if items:
        yield from (*items[:SHOWN], "")
    if items[SHOWN:]:
        yield from _folded("More", items[SHOWN:])
    if block.note:
        yield from (escaped(block.note), "")
    if block.table is not None:
        yield from _folded("Table", _table(block.table)) if block.folded else (*_table(block.table), "")


def _folded(summary: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", "")


def _table(table: Table) -> Iterator[str]:
    yield _line(table.columns)
    yield "|" + "|".join(" --- " if table.is_text(index) else " ---: " for index in range(len(table.columns))) + "|"
    yield from map(_line, table.rows)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    plain = printable(text)
    for character in "\\|<>[]*`":
        plain = plain.replace(character, f"\\{character}")
    return plain
