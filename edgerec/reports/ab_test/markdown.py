"""The Markdown of `edgerec abtest`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgerec.reports.ab_test.blocks import blocks_of
from edgerec.reports.ab_test.lead import BEGIN, lead
from edgerec.reports.markdown import check_report
from edgerec.reports.simulated import simulated_markdown


def check_markdown(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Check that the report can be written to `path`, as `edgerec.reports.markdown.check_report` does.

    Raises:
        OutputError: see `check_report`.
    """
    check_report(path, begin=BEGIN, command="edgerec abtest", force=force, inputs=inputs)


def markdown(document: Mapping[str, Any]) -> str:
    """Return the report of the document of `edgerec abtest`. Equal documents give equal text."""
    return simulated_markdown(lead(document), blocks_of(document))
