"""The Markdown of `edgerec bench`, for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgerec.core.atomic import FILE, check_output
from edgerec.core.errors import OutputError
from edgerec.core.text import printable
from edgerec.reports.bench.block import SHOWN, Block, Table
from edgerec.reports.bench.blocks import blocks_of
from edgerec.reports.bench.devices import Document

_BEGIN = "## Benchmark"


def check_markdown(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Check that the report can be written to `path`. Commands call this before they start to work.

    With `force`, `path` may exist if it is such a report.

    Raises:
        OutputError: `path` exists and `force` is false, it is another file, it cannot be written, or it is inside an
            input.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(_BEGIN)) != _BEGIN.encode():
                raise OutputError(
                    f"output {path} already exists and is no report of `edgerec bench`: choose another name"
                )


def markdown(documents: Sequence[Document], files: Sequence[Path] = ()) -> str:
    """Return the report as GitHub's Markdown. Equal documents give equal text.

    Args:
        documents: documents of `edgerec bench` (`BenchDocument.to_json`) and of `edgerec replay`.
        files: the files of the documents. Their names tell equal devices apart.
    """
    lines = [_BEGIN, ""]
    for block in blocks_of(documents, files):
        lines += _block(block)
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> Iterator[str]:
    yield from (f"### {block.title}", "")
    items = [f"- {_escaped(item)}" for item in block.items]
    if items:
        yield from (*items[:SHOWN], "")
    if items[SHOWN:]:
        yield from _folded("More", items[SHOWN:])
    if block.note:
        yield from (_escaped(block.note), "")
    if block.table is not None:
        yield from _folded("Table", _table(block.table)) if block.folded else (*_table(block.table), "")


def _folded(summary: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", "")


def _table(table: Table) -> Iterator[str]:
    yield _line(table.columns)
    yield "|" + "|".join(" --- " if table.is_text(index) else " ---: " for index in range(len(table.columns))) + "|"
    yield from map(_line, table.rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, apart from code between backticks."""
    plain = printable(text)
    for character in "\\|<>[]*":
        plain = plain.replace(character, f"\\{character}")
    return plain
