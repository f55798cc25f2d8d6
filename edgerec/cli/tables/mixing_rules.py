"""The table of `edgerec mix check`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.cli.tables.block import keep_whole
from edgerec.core.text import shown
from edgerec.mixing.rules import MixRules

_COLUMNS = ("kind", "worth", "share", "over", "gap", "advertiser\n_gap", "first", "at\n_least", "at\n_most")


def rules_table(rules: MixRules, warnings: Sequence[str] = ()) -> Group:
    """Return all rules with their defaults."""
    rows = [
        (
            name,
            f"{kind.worth:g}",
            f"{kind.share[0]:g} to {kind.share[1]:g}",
            kind.over,
            *map(str, (kind.gap, kind.advertiser_gap, kind.first, kind.at_least, min(kind.at_most, rules.page))),
        )
        for name, kind in rules.kinds.items()
    ]
    advertiser = "no column of advertisers" if rules.advertiser_column is None else rules.advertiser_column
    lines = [
        f"page of {rules.page} places; kind from {rules.kind_column}; advertiser from {advertiser}; "
        f"a card of an unknown kind counts as {rules.names[rules.unknown_index]}",
        f"given up if not all can hold, first one first: {', '.join(rules.relax) or 'nothing'}",
    ]
    notes = [Text(shown(line)) for line in (*lines, *(f"! {warning}" for warning in warnings))]
    table = table_of(_COLUMNS, rows)
    for column, name in zip(table.columns, _COLUMNS, strict=True):
        column.header = Text(name)  # `table_of` takes a line break for a part of the name.
    return Group(keep_whole(table), *notes)
