"""All blocks of the document of `edgerec stats`."""

from __future__ import annotations

from typing import Any

from edgerec.core.text import format_value
from edgerec.reports.statistics.blocks import Block, DataSet, cells
from edgerec.reports.statistics.rate_blocks import rate_blocks, rate_text
from edgerec.reports.statistics.share_blocks import KINDS, share_blocks


def document_blocks(document: dict[str, Any]) -> list[Block]:
    """Return all blocks in the order in which they are shown."""
    sets: list[DataSet] = document["logs"]
    return [_size(sets), *rate_blocks(sets, document["comparison"]), *share_blocks(sets)]


def _size(sets: list[DataSet]) -> Block:
    names = {
        "requests": "requests",
        "pages": "pages",
        "users": "users with a request",
        "exposures": "exposures, each once",
        "clicks": "of them clicked",
    }
    rows = [cells(text, [entry[key] for entry in sets], format_value) for key, text in names.items()]
    rows.append(cells("click rate", sets, rate_text))
    for key, text in KINDS.items():
        rows.append(cells(f"{text} among the events", [entry["behaviours"][key] for entry in sets], format_value))
    note = (
        "Each exposure and each click is counted once, at the first request of its page, because the list of that "
        "request has all items that the page showed. All requests and events of the logs are counted. Intervals are "
        "95 % confidence intervals (Wilson)."
    )
    return Block("Size", note, tuple(rows))
