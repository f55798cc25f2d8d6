"""Choose the features of a feed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

import polars as pl

from edgerec.core.text import shown
from edgerec.data.starting.attributes import OUTCOMES, SUSPICIOUS, Attribute, Place, find_attributes, useless
from edgerec.data.starting.feed import Feed
from edgerec.data.starting.lengths import length_rule
from edgerec.data.starting.roles import LENGTH_WORDS
from edgerec.data.starting.specification import Columns, Past, add_computed, add_item, add_lengths
from edgerec.data.starting.tables import Table
from edgerec.data.starting.times import DAY_UNITS
from edgerec.data.starting.words import words_of


@dataclass(frozen=True)
class Choice:
    """The features, whether one of them is the item's own ID, and what the user should check."""

    columns: Columns
    item_embedding: bool
    checks: tuple[str, ...]


def choose_features(feed: Feed, ignored: frozenset[str]) -> Choice:
    """Choose features for the columns of all files, and add those that EdgeRec computes.

    Args:
        feed: the feed.
        ignored: columns that are not used.
    """
    files, roles = feed.files, feed.files.roles
    columns, checks = Columns(), []  # type: tuple[Columns, list[str]]
    table = replace(files.impressions, rows=files.impressions.rows[feed.order])
    clicked = feed.rows["clicked"].fill_null(False)
    if "seen_seconds" in roles:
        column = roles["seen_seconds"].column
        rule = length_rule(table, column)
        seconds = table.rows.select(rule.seconds)[:, 0]
        add_lengths(columns, "ie_action", name="e1_seen", source="seen_s", seconds=seconds, column=column)
        checks += [rule.check] if rule.check else []
    _add_dwell(columns, feed, table, clicked, checks)
    used = {found.column for found in roles.values()} | ignored
    others = [column for column in table.rows.columns if column not in used]
    if table.list_rows is not None:
        late = [column for column in others if (OUTCOMES | LENGTH_WORDS) & set(words_of(column))]
        for column in late:
            columns.leave_out(table, column, "it is of a whole list, and its name is that of something that came later")
        others = [column for column in others if column not in late]
        if "dwell" in roles:
            may = [each for each in late if LENGTH_WORDS & set(words_of(each))]
            checks.append(
                f"column {roles['dwell'].column!r} is of a whole list: is it how long the clicked item was open? "
                + (
                    f"If that is in {' or '.join(map(repr, may))}: --dwell {shlex.quote(may[0])}"
                    if may
                    else "If not: --ignore it"
                )
            )
    attributes, left_out = find_attributes(table, feed.rows, others, numbers=feed.numbers, clicked=clicked)
    for column, why in left_out.items():
        columns.leave_out(table, column, why)
    first = table.rows.with_row_index("__row").filter(feed.rows["item"].is_first_distinct()).drop("__row")
    for attribute in attributes:
        rows = first if attribute.place == "catalogue" else table.rows
        columns.add_attribute(table, attribute, rows[attribute.column])
    of_clicks = {found.column for found in files.click_roles.values()}
    _add_others(columns, files.clicks, "opened", of_clicks | {*table.rows.columns} | ignored)
    of_items = {files.item_id.column if files.item_id else "", *(each.column for each in columns.made)}
    _add_others(columns, files.items, "catalogue", of_items | ignored)
    for column, text in table.mixed.items():
        if column not in used:
            checks.append(
                f"column {column!r} has numbers and texts such as {shown(text)!r:.40}, so it is read as texts: correct "
                "the file if they are numbers"
            )
    if "score" in roles:
        feature = {"name": "p7_score", "source": "score", "origin": "served", "kind": "raw"}
        columns.add("item", feature, roles["score"].column, "its role")
    seen = feed.rows.filter("seen")
    item_embedding = add_item(columns, seen["item"])
    click_rate = float(seen["clicked"].fill_null(False).mean() or 0)  # type: ignore[arg-type]
    add_computed(columns, Past(seen, feed.opened, click_rate, feed.time.unit in DAY_UNITS))
    served = [each.column for each in columns.made if each.place == "served"]
    if served:
        checks.append(
            f"{', '.join(served)}: these must be values that the server knew before the list was shown. If a value "
            "came later, pass --ignore COLUMN"
        )
    for each in attributes:
        if each.separates >= SUSPICIOUS:
            checks.append(
                f"column {each.column!r} alone separates clicks from other rows (AUC {each.separates:.2f}), so it "
                f"probably came after the list was shown: --ignore {shlex.quote(each.column)}"
            )
    return Choice(columns, item_embedding, tuple(checks))


def _add_dwell(columns: Columns, feed: Feed, table: Table, clicked: pl.Series, checks: list[str]) -> None:
    """Add the seconds of page-views, if a column has them."""
    files = feed.files
    found = (files.click_roles if files.clicks else files.roles).get("dwell")
    if found is None:
        checks.append("no column says how long a page was open, so page-views have no duration: --dwell COLUMN")
        return
    source = files.clicks or table
    rule = length_rule(source, found.column)
    checks += [rule.check] if rule.check else []
    seconds = source.rows.select(rule.seconds)[:, 0]
    if files.clicks is None and table.list_rows is None:
        others = seconds.filter(~clicked)
        if float((others.fill_null(0) > 0).mean() or 0) > 0.2:
            checks.append(
                f"column {found.column!r} has values where nothing was clicked. If it is how long a card was on the "
                f"screen, pass --seen-seconds {shlex.quote(found.column)}"
            )
    if files.clicks is None:
        seconds = seconds.filter(clicked)
    add_lengths(columns, "ipv_action", name="d1_page", source="page_s", seconds=seconds, column=found.column)


def _add_others(columns: Columns, table: Table | None, place: Place, used: set[str]) -> None:
    """Add the columns of a file of clicks or items that are not used yet."""
    if table is None:
        return
    for column in table.rows.columns:
        if column in used:
            continue
        reason = useless(column, table.rows[column])
        if reason:
            columns.leave_out(table, column, reason)
        else:
            why = f"a column of the {'clicks' if place == 'opened' else 'items'}"
            columns.add_attribute(table, Attribute(column, place, why), table.rows[column])
