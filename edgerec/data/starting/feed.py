"""The feed that the files describe: who was shown what, when, in which list, and what was clicked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from edgerec.core.errors import InputError
from edgerec.core.text import counted
from edgerec.data.starting.clicks import ClickRule, click_rule
from edgerec.data.starting.event_rows import CLICK_WITHIN_MS, check_clicks_repeat_no_impression
from edgerec.data.starting.files import Files
from edgerec.data.starting.lists import Lists, find_lists, sorted_by_clicks
from edgerec.data.starting.roles import BY_NAME, Found, is_rating
from edgerec.data.starting.tables import Table
from edgerec.data.starting.times import DAY_UNITS, TimeRule, precision_check, time_rule
from edgerec.data.starting.words import words_of

_UNCERTAIN = frozenset({"label", "y", "interaction"})


@dataclass(frozen=True)
class Feed:
    """What was read, with the rules that turn columns into values.

    Attributes:
        files: the files and the roles of their columns.
        time: how impressions write times.
        click_time: how the file of clicks does, or None.
        click: how a column of the impressions says that an item was clicked, or None if there is a file of clicks.
        seen: how a column says that a card was on the screen, or None.
        rows: `user`, `item`, `time` in milliseconds, `clicked`, `seen`, and, if there are such columns, `list` and
            `position`. These are the rows of the impressions that have a user, an item and a time, in served order.
        order: the number of each of these rows in the table of impressions.
        opened: `user`, `item` and `time` of the clicks.
        lists: how rows become lists.
        numbers: the number of each row's list.
        clicks_by_list: whether the file of clicks names the list of a click.
        unlabelled: whether some impressions have no value for the click.
        checks: what the user should check.
    """

    files: Files
    time: TimeRule
    click_time: TimeRule | None
    click: ClickRule | None
    seen: ClickRule | None
    rows: pl.DataFrame
    order: pl.Series
    opened: pl.DataFrame
    lists: Lists
    numbers: pl.Series
    clicks_by_list: bool
    unlabelled: bool
    checks: tuple[str, ...]

    @property
    def has_seen(self) -> bool:
        """Whether some impressions may not have been on the screen."""
        return self.seen is not None or self.unlabelled


def find_feed(files: Files, *, clicked_at_least: float | None) -> Feed:
    """Return the feed.

    Raises:
        InputError: times or clicks cannot be read, or nothing or everything was clicked.
    """
    checks: list[str] = []
    table, roles = files.impressions, files.roles
    time = _time(table, roles["time"], checks)
    click_time = None if files.clicks is None else _time(files.clicks, files.click_roles["time"], checks)
    click = _click(files, clicked_at_least, checks)
    seen = click_rule(table.rows[roles["seen"].column]) if "seen" in roles else None
    rows = _rows(files, time, checks)
    if "position" in rows.columns:
        rows = rows.sort("position", nulls_last=True, maintain_order=True)
    else:
        checks.append("no column has the place in the list, so the order of the file is taken: --position COLUMN")
    lists, numbers = find_lists(rows)
    # An ID of lists that begins anew for each user does not say which list a click is of. Its time does.
    by_list = "list" in files.click_roles and lists.key == ("list",)
    opened = None if click_time is None else _opened(files, click_time, rows)
    clicked = (
        _clicked_by_column(table, click, rows, checks) if click else _clicked_by_rows(rows, opened, by_list, checks)
    )
    if seen is not None:
        on_screen = table.rows.select(seen.clicked)[:, 0].fill_null(False)
    else:
        on_screen = clicked.is_not_null()
        checks.append("no column says whether a card was on the screen, so each row counts as seen: --seen COLUMN")
    rows = rows.with_columns(clicked=clicked[rows["row"]], seen=on_screen[rows["row"]])
    if click is not None and table.list_rows is None:
        was_clicked = rows["clicked"].fill_null(False)
        check_clicks_repeat_no_impression(table.name, roles["clicked"].column, rows, was_clicked)
    lists = replace(lists, checks=(*lists.checks, *sorted_by_clicks(rows["clicked"], numbers)))
    order, rows = rows["row"], rows.drop("row")
    return Feed(
        files=files,
        time=time,
        click_time=click_time,
        click=click,
        seen=seen,
        rows=rows,
        order=order,
        opened=rows.filter(pl.col("clicked").fill_null(False)) if opened is None else opened,
        lists=lists,
        numbers=numbers,
        clicks_by_list=by_list,
        unlabelled=bool(rows["clicked"].null_count()),
        checks=(*checks, *lists.checks),
    )


def _time(table: Table, found: Found, checks: list[str]) -> TimeRule:
    rule = time_rule(table.rows[found.column])
    if rule is None:
        raise InputError(f"{table.name}: the column {found.column!r} should have {BY_NAME['time'].expected}")
    precise = None if rule.unit in DAY_UNITS else precision_check(table.rows.select(rule.milliseconds)[:, 0])
    checks += [f"{table.name}, column {found.column!r}: {text}" for text in (rule.check, precise) if text]
    return rule


def _click(files: Files, at_least: float | None, checks: list[str]) -> ClickRule | None:
    found = files.roles.get("clicked")
    if found is None:
        if at_least is not None:
            raise InputError("--clicked-at-least needs a column of numbers: name it with --clicked COLUMN")
        return None
    rule = click_rule(files.impressions.rows[found.column], at_least=at_least, rating=is_rating(found.column))
    if rule is None:
        raise InputError(
            f"{files.impressions.name}: the column {found.column!r} has other values than yes and no: if it has "
            "numbers, say which are clicks with --clicked-at-least NUMBER"
        )
    if rule.check:
        checks.append(f"column {found.column!r}: {rule.check}")
    if set(words_of(found.column)) <= _UNCERTAIN:
        checks.append(f"column {found.column!r}: is this the click?")
    return rule


def _rows(files: Files, time: TimeRule, checks: list[str]) -> pl.DataFrame:
    """Return the impressions that have a user, an item and a time, with the number of their row."""
    table, roles = files.impressions, files.roles
    columns = [pl.col(roles[name].column).alias(name) for name in ("user", "item", "list", "position") if name in roles]
    rows = table.rows.select(*columns, time=time.milliseconds).with_row_index("row")
    usable = rows.drop_nulls(["user", "item", "time"])
    if not len(usable):
        raise InputError(f"{table.name}: no row has a user, an item and a time")
    missing = len(rows) - len(usable)
    if missing:
        some = counted(missing, "row has", "rows have")
        checks.append(f"{table.name}: {some} no user, no item or no time: the script leaves them out")
    return usable


def _opened(files: Files, time: TimeRule, rows: pl.DataFrame) -> pl.DataFrame:
    """Return user, item, time and list of the clicks, with the types of the impressions."""
    assert files.clicks is not None
    roles = files.click_roles
    names = [name for name in ("user", "item", "list") if name in roles and name in rows.columns]
    columns = [pl.col(roles[name].column).cast(rows.schema[name], strict=False).alias(name) for name in names]
    return files.clicks.rows.select(*columns, time=time.milliseconds)


def _clicked_by_column(table: Table, click: ClickRule, rows: pl.DataFrame, checks: list[str]) -> pl.Series:
    """Return whether each row of the table of impressions was clicked; null: it has no value."""
    clicked = table.rows.select(click.clicked)[:, 0]
    known = clicked[rows["row"]]
    missing, known = known.null_count(), known.drop_nulls()
    if missing:
        some = counted(missing, "row has", "rows have")
        checks.append(f"{some} no value for the click, so there is no label, as if the card was not seen")
    if not known.any() or known.all():
        which = "no row was" if not known.any() else "every row was"
        raise InputError(
            f"{table.name}: {which} clicked in the rows that were read, so there is nothing to learn: check --clicked, "
            "and give what was not clicked, too"
        )
    if float(known.mean() or 0) > 0.5:  # type: ignore[arg-type]
        checks.append("more than half of the rows were clicked: does the file have what was not clicked, too?")
    return clicked


def _clicked_by_rows(rows: pl.DataFrame, opened: pl.DataFrame | None, by_list: bool, checks: list[str]) -> pl.Series:
    """Return whether each row of the impressions has a click in the file of clicks."""
    assert opened is not None
    if by_list:
        hit = rows.join(opened, on=["list", "item"], how="semi")["row"]
        lost = len(opened) - len(opened.join(rows, on=["list", "item"], how="semi"))
    else:
        found = opened.drop_nulls(["user", "item", "time"]).sort("time").join_asof(
            rows.select("user", "item", "time", "row").sort("time"),
            on="time", by=["user", "item"], strategy="backward", tolerance=CLICK_WITHIN_MS, check_sortedness=False,
        )["row"]  # fmt: skip
        hit, lost = found.drop_nulls(), found.null_count()
    if not len(hit):
        raise InputError(
            "no click fits an impression: do users, items, lists and times of both files have the same values, and do "
            "clicks come after impressions?"
        )
    if lost:
        some = counted(lost, "click fits", "clicks fit")
        checks.append(f"{some} no impression, which gives page-views without a label")
    largest = int(rows["row"].max())  # type: ignore[arg-type]
    return pl.Series(range(largest + 1)).is_in(hit.cast(pl.Int64).implode())
