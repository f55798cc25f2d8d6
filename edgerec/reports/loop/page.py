"""The HTML page of `edgerec loop`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.loop.blocks import blocks_of
from edgerec.reports.loop.lead import lead
from edgerec.reports.loop.plots import plots_of
from edgerec.reports.simulated import simulated_page


def page(document: Mapping[str, Any]) -> str:
    """Return the page of the document of `edgerec loop` as text. Equal documents give equal text."""
    return simulated_page(lead(document), blocks_of(document), plots_of(document), definitions="docs/experiments.md")
