"""Write the converter: fill `make_logs.py.jinja`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edgerec.data.starting.code import comment, quoted
from edgerec.data.starting.tables import Table

TEMPLATE = Path(__file__).with_name("make_logs.py.jinja")
_TYPES = {pl.Int64: "pl.Int64", pl.Float64: "pl.Float64", pl.Boolean: "pl.Boolean", pl.String: "pl.String"}


@dataclass(frozen=True)
class Entry:
    """A column of a table that the script makes: its name, its expression, and what the user should check."""

    name: str
    code: str
    note: str | None = None


@dataclass(frozen=True)
class ReadTable:
    """How the script reads one file.

    Attributes:
        table: the file.
        constant: the name of the constant with its columns.
        row: what a row is, in words.
        columns: the columns of the file that are read.
        entries: the columns that are made of them.
        needed: columns without which a row is left out.
        times: columns of a CSV file with texts that are times, with their formats.
    """

    table: Table
    constant: str
    row: str
    columns: tuple[str, ...]
    entries: tuple[Entry, ...]
    needed: tuple[str, ...]
    times: tuple[tuple[str, str], ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return the variables of the template for this table."""
        schema = self.table.rows.schema
        parsed = self.table.list_rows.source if self.table.list_rows else ()
        types = {name: dtype for name, dtype in schema.items() if name not in parsed}
        return {
            "name": self.table.name,
            "kind": self.table.kind,
            "separator": self.table.separator,
            "constant": self.constant,
            "function": f"read_{self.constant.lower()}",
            "row": self.row,
            "has_time": any(entry.name == "time" for entry in self.entries),
            "columns": [
                (column, _TYPES.get(type(types.get(column, pl.String())), "pl.String")) for column in self.columns
            ],
            "steps": self.table.list_rows.steps if self.table.list_rows else (),
            "nulls_of": {name: texts for name, texts in self.table.nulls_of.items() if name in self.columns},
            "times": self.times,
            "decimals": [
                (name, _TYPES[type(schema[name])])
                for name in self.table.decimals
                if name in self.columns and name not in parsed
            ],
            "entries": self.entries,
            "needed": self.needed,
        }


def script_text(tables: list[ReadTable], fields: Mapping[str, Any]) -> str:
    """Return the script. Names from outside are literals or comments in it, never code."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(quoted=quoted, comment=comment)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(tables=[each.fields() for each in tables], **fields)
