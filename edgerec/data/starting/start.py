"""The whole way of `edgerec init`: read files, find roles, choose features, write the script and the specification."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgerec.core.atomic import output_folder
from edgerec.core.errors import InputError, OutputError
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import printable
from edgerec.data.starting.choice import Choice, choose_features
from edgerec.data.starting.code import plain_name
from edgerec.data.starting.feed import Feed, find_feed
from edgerec.data.starting.files import Files, read_files
from edgerec.data.starting.lists import MAX_CANDIDATES
from edgerec.data.starting.parts import make_script
from edgerec.data.starting.roles import BY_NAME
from edgerec.data.starting.specification import specification_text
from edgerec.data.starting.tables import ROWS
from edgerec.features.spec import parse_spec

SCRIPT, SPECIFICATION = "make_logs.py", "features.json"


def write_start(
    paths: Sequence[AnyPath],
    out: AnyPath,
    *,
    told: Mapping[str, Sequence[str]] | None = None,
    ignored: Iterable[str] = (),
    clicked_at_least: float | None = None,
    clicks: AnyPath | None = None,
    items: AnyPath | None = None,
    rows: int = ROWS,
) -> dict[str, Any]:
    """Write a converter and a feature specification for tables of impressions and clicks.

    Args:
        paths: a CSV or Parquet file of impressions, and optionally one of clicks and one of items.
        out: the new folder for `make_logs.py` and `features.json`.
        told: the columns of roles that the user named. Other roles are guessed.
        ignored: columns that are not used.
        clicked_at_least: the smallest number in the column of clicks that is a click.
        clicks: which of `paths` has the clicks; None: it is guessed.
        items: the same for items.
        rows: how many rows are read of each file.

    Returns:
        What was found: files, roles, lists, features, columns that are left out, and what the user should check.

    Raises:
        InputError: a file cannot be used, or a role that is needed is unclear.
        OutputError: `out` exists already, or cannot be written.
    """
    given, out = [to_path(path, "write_start: `paths`") for path in paths], to_path(out, "write_start: `out`")
    clicks = None if clicks is None else to_path(clicks, "write_start: `clicks`")
    items = None if items is None else to_path(items, "write_start: `items`")
    if out.exists() or out.is_symlink():
        raise OutputError(f"output {out} exists already: choose another name; what you changed there is never replaced")
    left = frozenset(ignored)
    files = read_files(given, told or {}, ignored=left, clicks=clicks, items=items, rows=rows)
    unknown = sorted(left - {column for table in files.tables for column in table.rows.columns})
    if unknown:
        raise InputError(f"--ignore: there is no column {unknown[0]!r}: name a column of the files")
    feed = find_feed(files, clicked_at_least=clicked_at_least)
    choice = choose_features(feed, left)
    name = plain_name(out.resolve().name)[:64]
    script, features = make_script(feed, choice, name), specification_text(name, choice.columns.features)
    parse_spec(features, where=SPECIFICATION)
    with output_folder(out, inputs=given) as partial:
        (partial / SCRIPT).write_text(script, encoding="utf-8")
        (partial / SPECIFICATION).write_text(features, encoding="utf-8")
    return {"folder": str(out), **_document(feed, choice, out)}


def _document(feed: Feed, choice: Choice, out: Path) -> dict[str, Any]:
    """Return what was found, and what to check and to do next."""
    files, lists = feed.files, feed.lists
    roles = _roles(files)
    unsure = [
        f"{each['file']}: {BY_NAME[each['role']].what} is taken from {each['column']!r} "
        f"({'likely' if each['how'] == 'likely' else 'a guess'}): {BY_NAME[each['role']].option} COLUMN"
        for each in roles
        if each["how"] in ("likely", "unsure")
    ]
    candidates = f" --candidates {lists.longest}" if lists.longest > MAX_CANDIDATES else ""
    named = (("impressions", files.impressions), ("clicks", files.clicks), ("items", files.items))
    return {
        "files": [
            {"file": table.name, "role": role, "rows_read": len(table.rows), "complete": table.complete}
            for role, table in named
            if table is not None
        ],
        "impressions": len(feed.rows),
        "clicks": int(feed.rows["clicked"].fill_null(False).sum()),
        "users": feed.rows["user"].n_unique(),
        "items": feed.rows["item"].n_unique(),
        "lists": {"by": lists.why, "number": lists.number, "longest": lists.longest},
        "roles": roles,
        "features": choice.columns.reasons,
        "left_out": choice.columns.left_out,
        "check": [printable(each) for each in (*unsure, *feed.checks, *choice.checks)],
        "next": [
            shlex.join(["python", str(out / SCRIPT), str(files.impressions.path.parent), "LOGS"]),
            "edgerec check LOGS",
            f"edgerec samples LOGS --out SAMPLES{candidates}",
        ],
    }


def _roles(files: Files) -> list[dict[str, str]]:
    of_tables = (
        (files.impressions, files.roles),
        (files.clicks, files.click_roles),
        (files.items, {"item": files.item_id} if files.item_id else {}),
    )
    return [
        {"role": found.role, "file": table.name, "column": found.column, "how": found.how, "why": found.why}
        for table, roles in of_tables
        if table is not None
        for found in roles.values()
    ]
