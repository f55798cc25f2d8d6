"""The Markdown of `edgerec bench`, for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edgerec.reports.bench.blocks import blocks_of
from edgerec.reports.bench.devices import Document
from edgerec.reports.markdown import check_report, to_markdown

_BEGIN = "## Benchmark"


def check_markdown(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Check that the report can be written to `path`. Commands call this before they start to work.

    With `force`, `path` may exist if it is such a report.

    Raises:
        OutputError: `path` exists and `force` is false, it is another file, it cannot be written, or it is inside an
            input.
    """
    check_report(path, begin=_BEGIN, command="edgerec bench", force=force, inputs=inputs)


def markdown(documents: Sequence[Document], files: Sequence[Path] = ()) -> str:
    """Return the report as GitHub's Markdown. Equal documents give equal text.

    Args:
        documents: documents of `edgerec bench` (`BenchDocument.to_json`) and of `edgerec replay`.
        files: the files of the documents. Their names tell equal devices apart.
    """
    return to_markdown([_BEGIN], blocks_of(documents, files))
