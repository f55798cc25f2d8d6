"""How a column writes how long something lasted: seconds or milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from edgerec.data.starting.specification import value_code
from edgerec.data.starting.tables import Table
from edgerec.data.starting.words import words_of

LONG = 3000
"""A larger median is taken for milliseconds: nobody reads most pages for fifty minutes."""


@dataclass(frozen=True)
class LengthRule:
    """How a column becomes seconds: the expression in the script, the same for the rows, and what to check, or None."""

    code: str
    seconds: pl.Expr
    check: str | None = None


def length_rule(table: Table, column: str) -> LengthRule:
    """Return how a column of numbers writes lengths."""
    code, values = value_code(table, column, "raw"), pl.col(column)
    median = table.rows[column].median()
    if set(words_of(column)) & {"ms", "millis", "milliseconds"}:
        return LengthRule(f"{code} / 1000", values / 1000)
    if isinstance(median, (int, float)) and median > LONG:
        text = f"column {column!r}: the values are so large that they are taken for milliseconds"
        return LengthRule(f"{code} / 1000", values / 1000, text)
    return LengthRule(code, values)
