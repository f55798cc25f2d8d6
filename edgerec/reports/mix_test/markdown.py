"""The Markdown of `edgerec abtest --mix`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.mix_test.blocks import blocks_of
from edgerec.reports.mix_test.lead import lead
from edgerec.reports.simulated import simulated_markdown


def markdown(document: Mapping[str, Any]) -> str:
    """Return the report of the document of `edgerec abtest --mix`. Equal documents give equal text."""
    return simulated_markdown(lead(document), blocks_of(document))
