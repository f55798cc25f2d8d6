"""The HTML page of `edgerec abtest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.ab_test.blocks import blocks_of
from edgerec.reports.ab_test.lead import lead
from edgerec.reports.ab_test.plots import plots_of
from edgerec.reports.simulated import simulated_page


def page(document: Mapping[str, Any]) -> str:
    """Return the page of the document of `edgerec abtest` as text. Equal documents give equal text."""
    return simulated_page(lead(document), blocks_of(document), plots_of(document), definitions="docs/experiments.md")
