"""The Markdown of `edgerec loop`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgerec.reports.loop.blocks import blocks_of
from edgerec.reports.loop.lead import BEGIN, lead
from edgerec.reports.markdown import check_report
from edgerec.reports.simulated import simulated_markdown


def check_markdown(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Check that the report can be written to `path`, as `edgerec.reports.markdown.check_report` does.

    Raises:
        OutputError: see `check_report`.
    """
    check_report(path, begin=BEGIN, command="edgerec loop", force=force, inputs=inputs)


def markdown(document: Mapping[str, Any]) -> str:
    """Return the report of the document of `edgerec loop`. Equal documents give equal text."""
    return simulated_markdown(lead(document), blocks_of(document))
