"""How a column says that an item was clicked."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from edgerec.data.casting import is_text
from edgerec.data.starting.code import quoted

YES = ("1", "true", "t", "yes", "y", "x", "ja", "oui", "si", "sí", "sim", "click", "clicked", "open", "opened")
NO = (
    "0",
    "-1",
    "false",
    "f",
    "no",
    "n",
    "none",
    "nein",
    "non",
    "não",
    "impression",
    "view",
    "shown",
    "skip",
    "skipped",
)
_MISSING = "a row without a value counts as not clicked"
RATING_SHARE = 0.8
"""A rating of at least this share of the largest one counts as a click: 4 of 5 stars."""


@dataclass(frozen=True)
class ClickRule:
    """How a column becomes yes or no.

    Attributes:
        code: the expression in the script.
        clicked: the same, for the rows that were read. Null stays null.
        check: what the user should check, or None.
    """

    code: str
    clicked: pl.Expr
    check: str | None = None


def click_rule(values: pl.Series, *, at_least: float | None = None, rating: bool = False) -> ClickRule | None:
    """Return how a column says yes or no, or None if its values do not.

    Args:
        values: the column.
        at_least: the smallest number that counts as a click, if the user said it.
        rating: whether the numbers are ratings, so that large ones count as clicks.
    """
    column, name = pl.col(values.name), f"pl.col({quoted(values.name)})"
    known = values.drop_nulls().unique()
    numeric = values.dtype.is_integer() or values.dtype.is_float()
    if at_least is not None:
        return ClickRule(f"{name} >= {float(at_least)!r}", column >= at_least) if numeric else None
    if values.dtype == pl.Boolean:
        return ClickRule(name, column)
    if numeric and len(known):
        if set(known) == {1} and values.null_count():
            return ClickRule(f"({name} == 1).fill_null(False)", (column == 1).fill_null(False), _MISSING)
        if set(known) == {-1, 1}:
            return ClickRule(f"{name} == 1", column == 1, "-1 counts as not clicked")
        if set(known) <= {0, 1}:
            return ClickRule(f"{name} == 1", column == 1)
        largest = float(known.max())  # type: ignore[arg-type]
        if rating:
            bound = round(RATING_SHARE * largest, 6)
            text = f"a rating of at least {bound!r} counts as a click: --clicked-at-least NUMBER sets another bound"
            return ClickRule(f"{name} >= {bound!r}", column >= bound, text)
        counts = known.cast(pl.Int64, strict=False).cast(known.dtype).eq(known).all() and float(known.min()) >= 0  # type: ignore[arg-type]
        if counts and largest <= 1000 and 0 in known:
            return ClickRule(f"{name} > 0", column > 0, "numbers above 0 count as clicks")
        return None
    if is_text(values.dtype):
        lower = {str(each).strip().lower() for each in known} - {""}
        empty = values.null_count() or (known.str.strip_chars() == "").any()
        if lower and lower <= set(YES) and empty:
            yes = sorted(lower)
            code = (
                f"{name}.str.strip_chars().str.to_lowercase().is_in([{', '.join(map(quoted, yes))}]).fill_null(False)"
            )
            expression = column.str.strip_chars().str.to_lowercase().is_in(yes).fill_null(False)
            return ClickRule(code, expression, _MISSING)
        if lower and lower <= {*YES, *NO} and lower & set(YES) and lower & set(NO):
            yes = sorted(lower & set(YES))
            code = f"{name}.str.strip_chars().str.to_lowercase().is_in([{', '.join(map(quoted, yes))}])"
            return ClickRule(code, column.str.strip_chars().str.to_lowercase().is_in(yes))
    return None
