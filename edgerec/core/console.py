"""What a person or a program sees: results on stdout, progress and logs on stderr."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from edgerec.core.errors import OutputError
from edgerec.core.text import printable, shown

Item = TypeVar("Item")

LINE_EVERY_S = 30.0
"""Without a terminal, work that takes long says so often how far it is."""


def log(message: str) -> None:
    """Write one line to stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(printable(message), markup=False)


def emit(document: Mapping[str, Any], *, as_json: bool, table: RenderableType | None = None) -> None:
    """Write a command's result to stdout: one JSON document (with ``"schema": 1``), or its table.

    Without `table` the document's scalars become a table of two columns.

    Raises:
        OutputError: stdout refuses what is written.
        BrokenPipeError: whoever read stdout is gone.
    """
    try:
        _emit(document, as_json=as_json, table=table)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"the result cannot be written to standard output ({error.strerror}); files that it speaks of are complete"
        ) from None


def _emit(document: Mapping[str, Any], *, as_json: bool, table: RenderableType | None) -> None:
    if as_json:
        if sys.stdout is not None:
            sys.stdout.write(json.dumps({"schema": 1, **document}, indent=2, allow_nan=False) + "\n")
            sys.stdout.flush()
        return
    console = Console(highlight=False)
    # rich asks descriptor 1, which is not the terminal any more (core/stdout.py); `shutil` asks `sys.__stdout__`.
    width = shutil.get_terminal_size().columns if console.is_terminal else max(console.width, 120)
    console = Console(highlight=False, width=width)
    console.print(table if table is not None else scalars(document))


def scalars(document: Mapping[str, Any]) -> Table:
    """A table of two columns with the scalar values of `document`."""
    rows = [(key, show(value)) for key, value in document.items() if not isinstance(value, (Mapping, list))]
    return table_of(("", ""), rows, header=False)


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", header: bool = True) -> Table:
    """A plain table: first column to the left, the others to the right when there are more than two."""
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
            Text(shown(column)), justify="right" if index and len(columns) > 2 else "left", overflow="fold"
        )
    for row in rows:
        # As text: a path may hold what rich takes for markup.
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table


def show(value: Any) -> str:
    """A value as people read it: thousands with separators, floats with four significant decimals."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
    return str(value)


def progress(
    items: Iterable[Item], *, what: str, total: int | None = None, note: Callable[[], str] | None = None
) -> Iterator[Item]:
    """Pass `items` on with a progress bar on stderr; without a terminal, with a line every `LINE_EVERY_S`.

    Args:
        items: to pass on.
        what: stands before the bar.
        total: how many they are, if that is known.
        note: what to say behind the bar, asked after each.
    """
    # Asked of the stream, not of rich, which takes FORCE_COLOR for a terminal.
    if sys.stderr is None or not sys.stderr.isatty():
        yield from _with_lines(items, what=what, total=total, note=note)
        return
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as bars:
        task = bars.add_task(printable(what), total=total, note="")
        for item in items:
            yield item
            bars.update(task, advance=1, note=printable(note()) if note else "")


def _with_lines(
    items: Iterable[Item], *, what: str, total: int | None, note: Callable[[], str] | None
) -> Iterator[Item]:
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if (now := time.monotonic()) - last >= LINE_EVERY_S:
            last = now
            said = note() if note else ""
            log(f"{what}: {done:,}{'' if total is None else f' of {total:,}'}{said and ', ' + said}")


@contextlib.contextmanager
def stage(what: str) -> Iterator[None]:
    """Log `what` with the seconds it took when the block ends."""
    start = time.perf_counter()
    yield
    log(f"{what}: {time.perf_counter() - start:.1f} s")
