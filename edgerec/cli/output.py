"""Write the result of a command to stdout, as JSON or as a plain table. Only tables import rich."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgerec.core.errors import OutputError
from edgerec.core.text import format_value, shown

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def emit(document: Mapping[str, Any], *, as_json: bool, table: RenderableType | None = None) -> None:
    """Write the result of a command to stdout: one JSON document (with ``"schema": 1``), or a table.

    Without `table`, a table of two columns shows the scalar values of `document`.

    Raises:
        OutputError: stdout cannot be written, for example because the disk is full.
        BrokenPipeError: the program that reads stdout has ended.
    """
    try:
        _emit(document, as_json=as_json, table=table)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"the result cannot be written to standard output ({error.strerror}); files that the command wrote are "
            "complete"
        ) from None


def _emit(document: Mapping[str, Any], *, as_json: bool, table: RenderableType | None) -> None:
    if as_json:
        if sys.stdout is not None:
            sys.stdout.write(json.dumps({"schema": 1, **document}, indent=2, allow_nan=False) + "\n")
            sys.stdout.flush()
        return
    from rich.console import Console

    console = Console(highlight=False)
    # rich asks descriptor 1 for the width, but that is no longer the terminal (core/stdout.py). `shutil` asks
    # `sys.__stdout__`.
    width = shutil.get_terminal_size().columns if console.is_terminal else max(console.width, 120)
    # A line that is longer than the terminal wraps there; rich would cut it.
    console = Console(highlight=False, width=max(width, _least_width(table)))
    console.print(table if table is not None else scalars(document))


def _least_width(part: object) -> int:
    """Return the width that the tables of `part` need at least, if their columns have one."""
    from rich.console import Group
    from rich.table import Table

    if isinstance(part, Group):
        return max(map(_least_width, part.renderables), default=0)
    if not isinstance(part, Table) or not all(column.min_width for column in part.columns):
        return 0
    between = part.padding[1] + part.padding[3]
    return sum((column.min_width or 0) + between for column in part.columns) - between


def scalars(document: Mapping[str, Any]) -> Table:
    """Return a table of two columns with the scalar values of `document`."""
    rows = [
        (key, "" if value is None else format_value(value))
        for key, value in document.items()
        if not isinstance(value, (Mapping, list))
    ]
    return table_of(("", ""), rows, header=False)


def table_of(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", header: bool = True, texts: int = 1
) -> Table:
    """Return a plain table. If it has more than two columns, all but the first `texts` are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        show_header=header,
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2),
    )
    for index, column in enumerate(columns):
        table.add_column(
            Text(shown(column)), justify="right" if index >= texts and len(columns) > 2 else "left", overflow="fold"
        )
    for row in rows:
        # Without `Text`, rich would read square brackets in a path as markup.
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table
