"""The tables of `edgerec abtest --mix`. Plots, places, prices and the world are only on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Group

from edgerec.cli.tables.simulated import simulated_tables
from edgerec.reports.block import Table
from edgerec.reports.mix_test.blocks import blocks_of, brief_predicted
from edgerec.reports.mix_test.lead import lead

_SHOWN = ("value", "shares", "behaviour", "predicted", "time")


def mix_test_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `edgerec abtest --mix`."""
    blocks = blocks_of(document)
    instead: dict[str, Table | None] = {"predicted": brief_predicted(document)}
    for block in blocks:
        if block.id == "value" and block.table is not None:
            columns = ["at equal share" if column.startswith("value at") else column for column in block.table.columns]
            instead[block.id] = replace(block.table, columns=columns)
    return simulated_tables(lead(document), blocks, shown=_SHOWN, instead=instead)
