"""The HTML page of `edgerec abtest --mix`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.mix_test.blocks import blocks_of
from edgerec.reports.mix_test.lead import lead
from edgerec.reports.mix_test.plots import plots_of
from edgerec.reports.simulated import simulated_page


def page(document: Mapping[str, Any]) -> str:
    """Return the page of the document of `edgerec abtest --mix` as text. Equal documents give equal text."""
    return simulated_page(lead(document), blocks_of(document), plots_of(document), definitions="docs/mixing.md")
