"""Which file has the impressions, which the clicks, and which the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerec.core.errors import InputError
from edgerec.data.starting.event_rows import check_one_row_per_event
from edgerec.data.starting.list_rows import one_row_for_each_item
from edgerec.data.starting.roles import BY_NAME, Found, check_times, check_told, find_roles, near_misses
from edgerec.data.starting.tables import Table, read_table
from edgerec.data.starting.times import WRITE_TIMES
from edgerec.data.starting.words import words_of

_CLICKS = frozenset(["click", "clicks", "clicked", "open", "opens", "opened", "action", "actions", "view", "views"])
_ITEMS = frozenset(["item", "items", "catalogue", "catalog", "products", "articles", "movies", "videos"])
CLICK_ROLES = ("user", "item", "time", "list", "dwell")


@dataclass(frozen=True)
class Files:
    """The tables of one feed, and the roles of their columns.

    Attributes:
        impressions: one row for each item that was shown.
        clicks: one row for each click, or None if the impressions have a column that says so.
        items: one row for each item, or None.
        roles: the roles of the impressions.
        click_roles: the roles of the clicks.
        item_id: the role of the ID in the table of items.
    """

    impressions: Table
    clicks: Table | None
    items: Table | None
    roles: dict[str, Found]
    click_roles: dict[str, Found]
    item_id: Found | None

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(each for each in (self.impressions, self.clicks, self.items) if each is not None)


def read_files(
    paths: Sequence[Path],
    told: Mapping[str, Sequence[str]],
    *,
    ignored: frozenset[str],
    clicks: Path | None,
    items: Path | None,
    rows: int,
) -> Files:
    """Read the files, say what each of them is, and find the roles of their columns.

    Args:
        paths: one to three files in one folder.
        told: the columns that the user named, by role.
        ignored: columns that are left out.
        clicks: the file of clicks, if the user said which it is.
        items: the same for the file of items.
        rows: how many rows are read of each file.

    Raises:
        InputError: a file cannot be read, it is unclear what the files are, or a role that is needed has no column.
    """
    for named, option in ((clicks, "--clicks-file"), (items, "--items-file")):
        if named is not None and named not in paths:
            raise InputError(f"{option} {named}: give the file as FILE, too")
    if len(paths) > 3 or len({path.name for path in paths}) < len(paths):
        raise InputError(
            "give one file of impressions, and at most one of clicks and one of items, with different names; "
            f"received {len(paths)} files"
        )
    if len({path.parent.resolve() for path in paths}) > 1:
        raise InputError("all files should be in one folder, because the script reads one folder: move or link them")
    tables = {path: read_table(path, rows=rows) for path in paths}
    check_told(list(tables.values()), told)
    tables = {path: one_row_for_each_item(table, told, ignored) for path, table in tables.items()}
    of_items = tables.get(items) if items is not None else _items_table(tables, told, ignored, clicks)
    rest = [table for table in tables.values() if table is not of_items]
    of_clicks = tables[clicks] if clicks is not None else _clicks_table(rest, told, ignored) if len(rest) > 1 else None
    rest = [table for table in rest if table is not of_clicks]
    if len(rest) != 1:
        names = ", ".join(table.name for table in tables.values())
        raise InputError(
            f"cannot see which of {names} has the impressions: name the others with --clicks-file and --items-file"
        )
    shown = [name for name in BY_NAME if of_clicks is None or name not in ("clicked", "dwell")]
    roles = find_roles(rest[0], told, ignored=ignored, roles=shown)
    _check_needed(rest[0], roles, ("user", "item", "time", *(("clicked",) if of_clicks is None else ())), ignored)
    click_roles: dict[str, Found] = {}
    if of_clicks is not None:
        click_roles = find_roles(of_clicks, told, ignored=ignored, roles=CLICK_ROLES)
        _check_needed(of_clicks, click_roles, ("user", "item", "time"), ignored)
    item_id = None if of_items is None else _item_id(of_items, told, ignored)
    return Files(rest[0], of_clicks, of_items, roles, click_roles, item_id)


def _check_needed(table: Table, roles: Mapping[str, Found], needed: Sequence[str], ignored: frozenset[str]) -> None:
    for name in needed:
        if name not in roles:
            role = BY_NAME[name]
            if name == "time":
                check_times(table, role, ignored)
            if name == "clicked":
                check_one_row_per_event(table, ignored)
            more = ", or give a second file with the clicks" if name == "clicked" else ""
            columns = ", ".join([each for each in table.rows.columns if each not in ignored][:20])
            near = near_misses(table, role, ignored)
            it = f"{WRITE_TIMES}, or name another column" if near and name == "time" else "name it"
            raise InputError(
                f"{table.name}: no column is seen to have {role.what}{near}: {it} with {role.option} "
                f"COLUMN{more}; the columns are: {columns}"
            )


def _items_table(
    tables: Mapping[Path, Table], told: Mapping[str, Sequence[str]], ignored: frozenset[str], clicks: Path | None
) -> Table | None:
    """Return the table that has items but no users, or None."""
    if len(tables) < 2:
        return None
    found = []
    for path, table in tables.items():
        if path != clicks:
            roles = find_roles(table, told, ignored=ignored, roles=("user", "item"))
            if "user" not in roles and ("item" in roles or _ITEMS & set(words_of(path.name))):
                found.append(table)
    if len(found) > 1:
        names = " and ".join(table.name for table in found)
        raise InputError(f"{names} have items but no users: name the file of items with --items-file")
    return found[0] if found else None


def _clicks_table(tables: Sequence[Table], told: Mapping[str, Sequence[str]], ignored: frozenset[str]) -> Table | None:
    """Return the table of clicks: the other one has a column that says what was clicked, or its name says it."""
    flagged = [
        "clicked" in find_roles(table, told, ignored=ignored, roles=("user", "item", "time", "clicked"))
        for table in tables
    ]
    if sum(flagged) == 1 and len(tables) == 2:
        raise InputError(
            f"{tables[flagged.index(True)].name} has a column of clicks already: leave out "
            f"{tables[flagged.index(False)].name}, or pass --ignore COLUMN for the column"
        )
    named = [table for table in tables if _CLICKS & set(words_of(table.name.split(".")[0]))]
    if len(named) == 1:
        return named[0]
    if len(tables) == 2 and len(tables[0].rows) != len(tables[1].rows) and not named:
        return min(tables, key=lambda table: len(table.rows))
    return None


def _item_id(table: Table, told: Mapping[str, Sequence[str]], ignored: frozenset[str]) -> Found:
    found = find_roles(table, told, ignored=ignored, roles=("item",)).get("item")
    if found is None:
        only = [each for each in table.rows.columns if each.lower() in ("id", "iid", "key") and each not in ignored]
        if len(only) != 1:
            raise InputError(
                f"{table.name}: no column is seen to have the ID of the item: name it with --item COLUMN; the columns "
                f"are: {', '.join(table.rows.columns[:20])}"
            )
        found = Found("item", only[0], "likely", "the only column of IDs")
    known = table.rows[found.column]
    if known.n_unique() < len(known):
        raise InputError(
            f"{table.name}: the column {found.column!r} should have each item once; received {len(known):,} rows with "
            f"{known.n_unique():,} items: keep one row for each, or name the column of IDs with --item"
        )
    return found
