"""The tables of simulated tests: the result as a sentence, the caution, and then chosen blocks of the report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from edgerec.cli.tables.block import block_table
from edgerec.core.text import shown as safe
from edgerec.reports.block import Block, Table
from edgerec.reports.simulated import Lead


def simulated_tables(
    lead: Lead, blocks: Sequence[Block], *, shown: Collection[str], instead: Mapping[str, Table | None]
) -> Group:
    """Return the top of a report, its warnings, and the blocks whose IDs are in `shown`.

    Args:
        lead: the top of the report.
        blocks: all blocks of the report.
        shown: IDs of the blocks to show.
        instead: narrower tables by the ID of their block.
    """
    parts: list[RenderableType] = [Text(safe(lead.headline), style="bold"), Text(safe(" ".join(lead.facts)))]
    parts.append(Text(safe(" ".join(lead.caution))))
    for block in blocks:
        if block.items:
            parts += ["", Text(block.title, style="bold"), *(Text(safe(f"- {item}")) for item in block.items)]
        elif block.id in shown:
            parts += ["", block_table(block, instead.get(block.id))]
    return Group(*parts)
