"""The parts of the script: how each file is read, and which lines the template writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from edgerec.core.errors import InputError
from edgerec.data.casting import is_text
from edgerec.data.starting.attributes import Place
from edgerec.data.starting.choice import Choice
from edgerec.data.starting.code import quoted
from edgerec.data.starting.event_rows import CLICK_WITHIN_MS
from edgerec.data.starting.feed import Feed
from edgerec.data.starting.lengths import length_rule
from edgerec.data.starting.lists import GAP_S, LENGTH
from edgerec.data.starting.roles import BY_NAME, Found
from edgerec.data.starting.script import Entry, ReadTable, script_text
from edgerec.data.starting.specification import Columns, value_code
from edgerec.data.starting.tables import NULLS, Table
from edgerec.data.starting.times import TimeRule

_KEY_NAMES = {"list": "list", "user": "user_id", "time": "time"}


def make_script(feed: Feed, choice: Choice, name: str) -> str:
    """Return the text of the script. `name` is that of the logs."""
    files, key, columns = feed.files, feed.lists.key, choice.columns
    tables = [_impressions(feed, columns)]
    if files.clicks is not None:
        tables.append(_clicks(feed, files.clicks, columns))
    if files.items is not None and files.item_id is not None:
        tables.append(_items(feed, files.items, files.item_id, columns))
    served = [*(["score"] if "score" in files.roles else []), *_names(columns, "served")]
    groups = [
        ("SERVED", "Values of an item at the instant at which it was offered.", served),
        ("CONTEXT", "Values of a request, which hold for its whole list.", _names(columns, "context")),
        ("ITEM", "Values of an item that never change.", _names(columns, "catalogue", files.impressions)),
        ("CARD", "What users do with a card.", _names(columns, "seen")),
        ("PAGE", "What users do on the page of an item.", _names(columns, "opened")),
    ]
    codes = [entry.code for table in tables for entry in table.entries]
    hashes = key != ("list",) or any("hash_ids(" in code for code in codes)
    reads_csv = any(table.kind == "csv" for table in files.tables)
    imports = ["Logs", "LogsHead", "drop_incomplete"]
    imports += [*(["hash_ids"] if hashes else []), "label_requests", "load_spec"]
    imports += [*(["read_csv"] if reads_csv else []), "run_converter"]
    fields = {
        "name": name,
        "sources": sources([table.name for table in files.tables]),
        "imports": ", ".join(imports),
        "nulls": NULLS,
        "groups": [group for group in groups if group[2]],
        "list_note": _list_note(feed),
        "list_key": [] if key == ("list",) else [_KEY_NAMES[each] for each in key],
        "gap_ms": GAP_S * 1000,
        "length": LENGTH,
        "click_within_ms": CLICK_WITHIN_MS,
    }
    has = {
        "has_csv": reads_csv,
        "by_gaps": feed.lists.by_gaps,
        "clicks": files.clicks is not None,
        "clicks_by_time": files.clicks is not None and not feed.clicks_by_list,
        "splits_texts": any(table.list_rows is not None and table.list_rows.splits for table in files.tables),
        "parses_texts": any("milliseconds(" in code for code in codes),
        "has_position": "position" in files.roles,
        "null_lists": "list" in feed.rows.columns and bool(feed.rows["list"].null_count()),
        "has_seen": feed.has_seen,
        "has_seen_seconds": "seen_seconds" in files.roles,
        "has_dwell": "dwell" in (files.click_roles if files.clicks else files.roles),
        "items": files.items is not None,
        "item_embedding": choice.item_embedding,
        **{f"has_{constant.lower()}": bool(names) for constant, _, names in groups},
    }
    return script_text(tables, {**fields, **has})


def sources(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _list_note(feed: Feed) -> str | None:
    lists = feed.lists
    if lists.sure and not lists.checks:
        return None
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in (lists.why, *lists.checks))


def _names(columns: Columns, place: Place, table: Table | None = None) -> list[str]:
    """Return the columns of the logs whose values come from a place, or only those of one file."""
    return [
        each.name for each in columns.made if each.place == place and (table is None or each.file == table.name)
    ]  # fmt: skip


def _impressions(feed: Feed, columns: Columns) -> ReadTable:
    table, roles = feed.files.impressions, feed.files.roles
    entries = [
        _id("user_id", table, roles["user"]),
        _id("item_id", table, roles["item"]),
        Entry("time", _time_code(table, roles["time"].column, feed.time), _note(roles["time"])),
    ]
    if "list" in roles:
        entries.append(_id("request_id" if feed.lists.key == ("list",) else "list", table, roles["list"]))
    if "position" in roles:
        entries.append(Entry("position", f"pl.col({quoted(roles['position'].column)})", _note(roles["position"])))
    if feed.click is not None:
        entries.append(Entry("clicked", feed.click.code, _note(roles["clicked"]) or feed.click.check))
    if feed.seen is not None:
        entries.append(Entry("seen", feed.seen.code, _note(roles["seen"])))
    elif feed.unlabelled:
        column = quoted(roles["clicked"].column)
        note = "A row without a value for the click counts as not seen."
        entries.append(Entry("seen", f"pl.col({column}).is_not_null()", note))
    entries += _lengths(table, roles)
    if "score" in roles:
        entries.append(Entry("score", value_code(table, roles["score"].column, "raw"), _note(roles["score"])))
    return _table(table, "IMPRESSIONS", "impression", entries, roles, columns, feed.time)


def _clicks(feed: Feed, table: Table, columns: Columns) -> ReadTable:
    assert feed.click_time is not None
    roles = {
        name: found for name, found in feed.files.click_roles.items() if name != "list" or feed.clicks_by_list
    }  # fmt: skip
    like = {name: feed.rows.schema[name] for name in ("user", "item", "list") if name in feed.rows.columns}
    entries = [
        _id("user_id", table, roles["user"], like=like["user"]),
        _id("item_id", table, roles["item"], like=like["item"]),
        Entry("time", _time_code(table, roles["time"].column, feed.click_time), _note(roles["time"])),
    ]
    if "list" in roles:
        entries.append(_id("request_id", table, roles["list"], like=like["list"]))
    entries += _lengths(table, roles)
    return _table(table, "CLICKS", "click", entries, roles, columns, feed.click_time)


def _items(feed: Feed, table: Table, found: Found, columns: Columns) -> ReadTable:
    entries = [_id("item_id", table, found, like=feed.rows.schema["item"])]
    return _table(table, "ITEMS", "item", entries, {"item": found}, columns)


def _note(found: Found) -> str | None:
    """Return the text of a guess for the script, or None if the role is certain."""
    if found.how in ("told", "sure"):
        return None
    role = BY_NAME[found.role]
    return f"Is this {role.what}? It was guessed from {found.why} ({role.option} COLUMN)."


def _lengths(table: Table, roles: Mapping[str, Found]) -> list[Entry]:
    return [
        Entry(name, (rule := length_rule(table, roles[role].column)).code, _note(roles[role]) or rule.check)
        for role, name in (("seen_seconds", "seen_s"), ("dwell", "page_s"))
        if role in roles
    ]


def _id(name: str, table: Table, found: Found, like: pl.DataType | None = None) -> Entry:
    """Return the entry of an ID. Texts become hashes. `like` is the type of the same ID in the impressions.

    Raises:
        InputError: the column has texts, and the impressions have numbers.
    """
    dtype, column = table.rows.schema[found.column], quoted(found.column)
    if is_text(dtype if like is None else like):
        strings = column if is_text(dtype) else f"pl.col({column}).cast(pl.String)"
        return Entry(name, f"hash_ids({strings})", _note(found))
    if is_text(dtype):
        raise InputError(
            f"{table.name}: the column {found.column!r} has texts, but the impressions have numbers for the same IDs: "
            "write them alike"
        )
    cast = "" if dtype == pl.Int64 else ".cast(pl.Int64)"
    return Entry(name, f"pl.col({column}){cast}", _note(found))


def _time_code(table: Table, column: str, time: TimeRule) -> str:
    """Return the expression of times. `read_csv` has turned the texts of a CSV file into milliseconds already."""
    return f"pl.col({quoted(column)})" if table.kind == "csv" and time.of_texts else time.code


def _table(
    table: Table,
    constant: str,
    row: str,
    entries: list[Entry],
    roles: Mapping[str, Found],
    columns: Columns,
    time: TimeRule | None = None,
) -> ReadTable:
    """Return how a table is read: the entries of roles, and those of the features that read its columns."""
    made = [each for each in columns.made if each.file == table.name]
    columns_read = [*(found.column for found in roles.values()), *(each.column for each in made)]
    if table.list_rows is not None:
        unread = table.list_rows.roles.values()
        columns_read = [*table.list_rows.source, *(each for each in columns_read if each not in unread)]
    needed = [roles[name].column for name in ("user", "item", "time") if name in roles]
    reads_times = table.kind == "csv" and time is not None and time.of_texts
    return ReadTable(
        table=table,
        constant=constant,
        row=row,
        columns=tuple(dict.fromkeys(columns_read)),
        entries=(*entries, *(Entry(each.name, each.code) for each in made)),
        needed=tuple(needed),
        times=((roles["time"].column, time.unit),) if reads_times and time is not None else (),
    )
