"""The tables of `edgerec loop`. The page has all metrics, the p-values and the buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from edgerec.cli.tables.simulated import simulated_tables
from edgerec.reports.loop.blocks import blocks_of, brief_rounds, brief_uplift
from edgerec.reports.loop.lead import lead


def loop_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `edgerec loop`."""
    instead = {"by-round": brief_uplift(document), "rounds": brief_rounds(document)}
    return simulated_tables(lead(document), blocks_of(document), shown=tuple(instead), instead=instead)
