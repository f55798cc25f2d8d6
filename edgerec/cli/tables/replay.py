"""The tables of `edgerec replay`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from edgerec.cli.output import table_of
from edgerec.core.text import format_value
from edgerec.reports.replay.table import duration_rows, stage_rows, table3_rows


def replay_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `run_replay`."""
    played = [
        (name, format_value(document[name]))
        for name in ("mode", "users", "stores", "requests", "behaviours", "pages", "seconds")
    ]
    played += [(f"answers: {name}", format_value(count)) for name, count in document["outcomes"].items()]
    played += parity_rows(document)
    return Group(
        table_of(("", ""), played, header=False),
        "",
        table_of(("Table 3", "on the device", "by the cloud alone"), table3_rows(document)),
        "",
        table_of(("milliseconds", "n", "p50", "p90", "p99", "largest"), duration_rows(document)),
        "",
        table_of(("mean milliseconds", "part", "time"), stage_rows(document)),
    )


def parity_rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of the comparison with Keras. They are empty if there was none."""
    if document["parity_max_abs"] is None:
        return []
    total = document["parity_requests"]
    return [
        ("largest difference to Keras", f"{document['parity_max_abs']:.1e} on logits"),
        ("orders equal to Keras'", f"{document['orders_equal']:,} of {total:,}"),
        ("orders that differ in ties only", f"{document['orders_tied']:,}"),
        ("other orders", f"{document['orders_different']:,}"),
        ("samples equal to those of the played logs", f"{document['samples_equal']:,} of {total:,}"),
    ]
