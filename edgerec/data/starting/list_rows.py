"""Tables in which one row has a whole list: which columns have the items and the clicks, and one row for each item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from edgerec.core.errors import InputError
from edgerec.core.text import shown
from edgerec.data.casting import is_text
from edgerec.data.starting.code import quoted
from edgerec.data.starting.tables import ListRows, Table, unusable_name
from edgerec.data.starting.words import words_of

CLICK_WORDS = frozenset({"click", "clicked", "clicks", "clk", "opened", "open", "tapped", "label", "labels"})
IS_CLICKED, PLACE = "is_clicked", "place_in_list"
"""Names of the columns that are made. A name that the file has already gets ``_`` behind it."""
_SAMPLE = 2000
_LENGTH = 1.5
_MOST = 0.95
PARTS = r"[^\s,;|\[\]'\"]+"
"""The parts of a text that is a list."""
_LABELLED, _LABEL = r"^\S+-[01]( +\S+-[01])+$", "-[01]$"
Form = Literal["list", "text", "labelled"]


@dataclass(frozen=True)
class ListColumn:
    """A column whose values are lists, and how it writes them.

    Attributes:
        column: its name.
        form: ``list``: a Parquet list; ``text``: texts such as ``[1, 2]`` or ``a1 b2``; ``labelled``: texts of items
            with their label, such as ``N1-0 N2-1``.
        numbers: whether texts are whole numbers.
    """

    column: str
    form: Form
    numbers: bool = False

    @property
    def lists(self) -> pl.Expr:
        """The column as lists."""
        if self.form == "list":
            return pl.col(self.column)
        parts = pl.col(self.column).str.extract_all(PARTS)
        if self.form == "labelled":
            return parts.list.eval(pl.element().str.replace(_LABEL, ""))
        return parts.cast(pl.List(pl.Int64)) if self.numbers else parts


def one_row_for_each_item(table: Table, told: Mapping[str, Sequence[str]], ignored: frozenset[str]) -> Table:
    """Return the table with one row for each item, if it has a row for each list. Otherwise return it unchanged.

    Args:
        table: the table.
        told: the columns that the user named, by role.
        ignored: columns that are left out.

    Raises:
        InputError: several columns may have the lists, or no column says what was clicked.
    """
    columns = {
        name: found
        for name in table.rows.columns
        if name not in ignored and not unusable_name(name) and (found := _lists_of(table.rows[name])) is not None
    }
    named = [
        name
        for name in told.get("item", ())
        if name in columns and _mean_length(table.rows.select(columns[name].lists)[:, 0]) >= _LENGTH
    ]
    labelled = [name for name, each in columns.items() if each.form == "labelled" and (not named or name in named)]
    if len(labelled) > 1:
        raise _unclear(table, labelled[0], labelled[1])
    if labelled:
        return _unrolled(table, columns[labelled[0]], columns, "labelled", None)
    pairs = [
        (items, how, clicks)
        for items in (named or columns)
        for clicks, how in _clicks_of(table.rows, columns[items], columns, told)
    ]
    if not pairs:
        if named:
            raise InputError(
                f"{table.name}: the column {shown(named[0])!r} has lists, but no column has the clicked ones of them: "
                "name it with --clicked COLUMN"
            )
        return table
    first = pairs[0]
    others = [items for items, *_ in pairs if items != first[0]]
    if others:
        raise _unclear(table, first[0], others[0])
    return _unrolled(table, columns[first[0]], columns, first[1], first[2])


def _unclear(table: Table, first: str, second: str) -> InputError:
    return InputError(
        f"{table.name}: a row has a whole list, and its items may be in {shown(first)!r} or {shown(second)!r}: say "
        "which with --item COLUMN"
    )


def _lists_of(values: pl.Series) -> ListColumn | None:
    """Return how a column writes lists, or None if it has none."""
    if isinstance(values.dtype, pl.List):
        inner = values.dtype.inner
        return ListColumn(values.name, "list") if isinstance(inner, pl.DataType) and not inner.is_nested() else None
    if not is_text(values.dtype):
        return None
    known = values.drop_nulls().head(_SAMPLE).str.strip_chars()
    known = known.filter(known != "")
    if not len(known):
        return None
    if float(known.str.contains(_LABELLED).mean() or 0) >= _MOST:
        return ListColumn(values.name, "labelled")
    parts = known.str.extract_all(PARTS)
    with_digits = parts.explode().drop_nulls().str.contains(r"^\w*\d[\w-]*$")
    brackets = bool((known.str.starts_with("[") & known.str.ends_with("]")).all())
    if not brackets and (not len(with_digits) or float(with_digits.mean() or 0) < 1):
        return None
    return ListColumn(
        values.name, "text", bool(parts.explode().drop_nulls().str.contains(r"^-?[1-9]\d{0,17}$|^0$").all())
    )


def _clicks_of(
    rows: pl.DataFrame, items: ListColumn, columns: Mapping[str, ListColumn], told: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """Yield the columns that say which items of the lists were clicked, and how: ``flags``, ``several`` or ``one``."""
    few = rows.head(_SAMPLE).select(pl.all(), __items=items.lists).drop_nulls("__items")
    length, item = few["__items"].list.len(), few["__items"].dtype.inner  # type: ignore[attr-defined]
    if (
        not len(few)
        or not (item.is_integer() or is_text(item))
        or _are_flags(few["__items"].explode())
        or _mean_length(few["__items"]) < _LENGTH
    ):
        return
    named = set(told.get("clicked", ()))
    for name in rows.columns:
        if name == items.column or (named and name not in named):
            continue
        clicks = name in named or bool(CLICK_WORDS & set(words_of(name)))
        if name in columns:
            lists = few.select(columns[name].lists)[:, 0]
            inner = lists.dtype.inner  # type: ignore[attr-defined]
            values = lists.explode().drop_nulls()
            if clicks and (lists.list.len() == length).all() and _are_flags(values):
                yield name, "flags"
            elif inner == item or (inner.is_integer() and item.is_integer()):
                inside = few.select(
                    pl.col("__items").list.set_intersection(lists.cast(few["__items"].dtype)).list.len()
                )
                fewer = float((lists.list.len() < length).mean() or 0) >= 0.5  # type: ignore[arg-type]
                if len(values) and fewer and (inside[:, 0] == lists.list.n_unique()).fill_null(True).all():
                    yield name, "several"
        elif clicks and (is_text(rows[name].dtype) or rows[name].dtype.is_integer()):
            exploded = few.select("__items", one=name).explode("__items").drop_nulls("one")
            item_type = exploded["__items"].dtype
            if is_text(item_type) != is_text(exploded["one"].dtype) or not len(exploded):
                continue
            hits = few.select(pl.col("__items").list.contains(pl.col(name)), pl.col(name)).drop_nulls(name)[:, 0]
            if float(hits.mean() or 0) >= _MOST:  # type: ignore[arg-type]
                yield name, "one"


def _mean_length(lists: pl.Series) -> float:
    return float(lists.list.len().mean() or 0)  # type: ignore[arg-type]


def _are_flags(values: pl.Series) -> bool:
    return values.dtype == pl.Boolean or (values.dtype.is_numeric() and set(values.unique()) <= {0, 1})


def _unrolled(
    table: Table, items: ListColumn, columns: Mapping[str, ListColumn], how: str, clicks: str | None
) -> Table:
    """Return the table with one row for each item."""
    rows, item = table.rows.drop_nulls(items.column), items.column
    clicked, place = (_free(name, rows.columns) for name in (IS_CLICKED, PLACE))
    length = rows.select(items.lists)[:, 0].list.len()
    together = [
        name
        for name, each in columns.items()
        if name not in (item, clicks) and (rows.select(each.lists)[:, 0].list.len() == length).all()
    ]
    parsed = {name: each for name, each in columns.items() if name in (item, clicks, *together) and each.form != "list"}
    steps = [f"item = {quoted(item)}", *([f"chosen = {quoted(clicks)}"] if clicks is not None else [])]
    if how == "labelled":
        ends = pl.col(item).str.extract_all(PARTS).list.eval(pl.element().str.ends_with("-1"))
        rows = rows.with_columns(ends.alias(clicked))
        steps.append(f'rows = rows.with_columns({clicked}=parts(item).list.eval(pl.element().str.ends_with("-1")))')
    rows = rows.with_columns(**{name: each.lists for name, each in parsed.items()})
    steps += [_split(name, each, item) for name, each in parsed.items()]
    exploded = [item, *together, place]
    if how == "flags" and clicks is not None:
        exploded.append(clicks)
    elif how == "labelled":
        exploded.append(clicked)
    rows = rows.with_columns(pl.int_ranges(pl.col(item).list.len()).alias(place)).explode(exploded).drop_nulls(item)
    steps.append(f"rows = rows.with_columns({place}=pl.int_ranges(pl.col(item).list.len()))")
    names = "".join(f"        {quoted(each)},\n" for each in exploded)
    steps.append(f"together = [\n{names}    ]\n    rows = rows.explode(together).drop_nulls(item)")
    if clicks is not None:
        expression, code = {
            "flags": (pl.col(clicks).cast(pl.Boolean), "pl.col(chosen).cast(pl.Boolean)"),
            "several": (
                pl.col(item).is_in(pl.col(clicks)).fill_null(False),
                "pl.col(item).is_in(pl.col(chosen)).fill_null(False)",
            ),
            "one": (
                (pl.col(item) == pl.col(clicks)).fill_null(False),
                "(pl.col(item) == pl.col(chosen)).fill_null(False)",
            ),
        }[how]
        rows = rows.with_columns(expression.alias(clicked)).drop(clicks)
        steps.append(f"rows = rows.with_columns({clicked}={code})")
    source = [item, *together, *([clicks] if clicks is not None else [])]
    roles = {"item": item, "clicked": clicked, "position": place}
    return replace(table, rows=rows, list_rows=ListRows(tuple(source), roles, tuple(steps), bool(parsed)))


def _split(name: str, lists: ListColumn, item: str) -> str:
    """Return the line of the script that makes lists of texts."""
    code = f"parts(name){'.cast(pl.List(pl.Int64))' if lists.numbers else ''}"
    if lists.form == "labelled":
        code = f'parts(name).list.eval(pl.element().str.replace({quoted(_LABEL)}, ""))'
    return f"name = {'item' if name == item else quoted(name)}\n    rows = rows.with_columns({code}.alias(name))"


def _free(name: str, columns: Sequence[str]) -> str:
    while name in columns:
        name += "_"
    return name
