"""The tables of `edgerec init`."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import counted, shown

_SURE = {"told": "you said it", "sure": "sure", "likely": "likely", "unsure": "a guess: check it"}


def starting_table(document: dict[str, Any]) -> RenderableType:
    """Return the tables of the document of `write_start`, and what to check and to do next."""
    lists = document["lists"]
    summary = [
        *((each["role"], f"{each['file']}: {_rows(each)}") for each in document["files"]),
        ("shown, clicked", f"{document['impressions']:,} items were shown, {document['clicks']:,} were clicked"),
        ("users, items", f"{document['users']:,} users, {document['items']:,} items"),
        ("lists", f"{lists['number']:,}, up to {lists['longest']:,} items: {lists['by']}"),
        ("written to", document["folder"]),
    ]
    # With one file, its name says nothing.
    several = len(document["files"]) > 1
    keys = ("role", "file", "column", "how", "why") if several else ("role", "column", "how", "why")
    found = [each | {"role": each["role"].replace("_", " "), "how": _SURE[each["how"]]} for each in document["roles"]]
    roles = [tuple(each[key] for key in keys) for each in found]
    titles = [{"how": "how sure", "why": "from"}.get(key, key) for key in keys]
    features = [(each["feature"], each["kind"], each["column"] or "-", each["why"]) for each in document["features"]]
    parts: list[RenderableType] = [
        table_of(("", ""), summary, header=False),
        Text(),
        table_of(titles, roles, texts=len(titles)),
        Text(),
        table_of(("feature", "kind", "column", "why"), features, texts=4),
    ]
    if document["left_out"]:
        rows = [(each["column"], each["why"]) for each in document["left_out"]]
        parts += [Text(), table_of(("left out", "why"), rows)]
    if document["check"]:
        parts += [Text("\nTo check:"), *(Text(shown(f"- {each}")) for each in document["check"])]
    parts += [Text("\nNext:"), *(Text(shown(f"  {each}")) for each in document["next"])]
    return Group(*parts)


def _rows(file: dict[str, Any]) -> str:
    text = counted(file["rows_read"], "row", "rows")
    return text if file["complete"] else f"the first {text}"
