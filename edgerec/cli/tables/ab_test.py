"""The tables of `edgerec abtest`. Display positions, activity, settings and the world are only on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Group

from edgerec.cli.tables.simulated import simulated_tables
from edgerec.reports.ab_test.blocks import blocks_of
from edgerec.reports.ab_test.comparisons import brief_comparisons
from edgerec.reports.ab_test.lead import lead
from edgerec.reports.simulated import PAPER

_SHOWN = (
    "uplift",
    "buckets",
    "comparisons",
    "patches",
    "patch-gain",
    "feedback",
    "power",
    "sample-ratio",
    "aa",
    "time",
)


def ab_test_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `edgerec abtest`."""
    blocks = blocks_of(document)
    instead = {"comparisons": brief_comparisons(document)}
    for block in blocks:
        if block.id == "uplift" and block.table is not None:
            columns = ["paper" if column == PAPER else column for column in block.table.columns]
            instead[block.id] = replace(block.table, columns=columns)
    return simulated_tables(lead(document), blocks, shown=_SHOWN, instead=instead)
