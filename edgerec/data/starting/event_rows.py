"""Tables with one row for each event: an impression has a row, and its click has another one."""

from __future__ import annotations

import polars as pl

from edgerec.core.errors import InputError
from edgerec.core.text import shown
from edgerec.data.casting import is_text
from edgerec.data.starting.tables import Table

CLICK_WITHIN_MS = 3_600_000
"""A click belongs to the last impression of its user and item, if that was at most an hour before."""
_LEAST = 10
"""Fewer clicks may repeat impressions by chance."""
NEARLY_ALL = 0.9
"""Share of the clicked rows that repeat an impression, from which on a click has a row of its own."""
_CLICKS = frozenset(["click", "clicked", "open", "opened"])
_SHOWN = frozenset(["impression", "imp", "view", "viewed", "show", "shown", "exposure", "exposed", "seen"])
_MOST_EVENTS = 50
_SPLIT = (
    "split the file into impressions and clicks, and give both: edgerec init impressions.csv clicks.csv "
    '(docs/tutorial.md, "If something is not as here")'
)


def check_one_row_per_event(table: Table, ignored: frozenset[str]) -> None:
    """Raise an InputError if a column says whether a row is an impression or a click."""
    for column, dtype in table.rows.schema.items():
        if column in ignored or not is_text(dtype):
            continue
        different = table.rows[column].drop_nulls().unique()
        events = {str(each).strip().lower() for each in different} if len(different) <= _MOST_EVENTS else set()
        if events & _CLICKS and events & _SHOWN:
            raise InputError(
                f"{table.name}: the column {shown(column)!r} says what each row is. If a click has a row of its own, "
                f"{_SPLIT}. If not, name it with --clicked COLUMN"
            )


def check_clicks_repeat_no_impression(name: str, column: str, rows: pl.DataFrame, clicked: pl.Series) -> None:
    """Check that clicks are values of impressions, and no rows of their own.

    Args:
        name: the name of the file.
        column: its column of clicks.
        rows: `user`, `item` and `time` of each row, and `list` if there is such a column.
        clicked: whether each row was clicked.

    Raises:
        InputError: nearly every clicked row repeats the user and the item, and the list, of an earlier unclicked row.
    """
    clicks, others = rows.filter(clicked), rows.filter(~clicked)
    by = ["user", "item"]
    if "list" in rows.columns and not clicks["list"].null_count():
        by.append("list")
    found = clicks.sort("time").join_asof(
        others.select(*by, "time", shown="time").sort("time"),
        on="time", by=by, strategy="backward", tolerance=CLICK_WITHIN_MS, check_sortedness=False,
    )["shown"]  # fmt: skip
    repeats = len(found) - found.null_count()
    if repeats >= _LEAST and repeats >= NEARLY_ALL * len(found):
        raise InputError(
            f"{name}: {repeats:,} of {len(found):,} clicked rows (column {shown(column)!r}) repeat an earlier row of "
            f"their user and item that is not clicked, so a click has a row of its own: {_SPLIT}"
        )
