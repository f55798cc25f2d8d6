"""Progress and log lines on stderr. Results go to stdout (`edgerec.cli.output`)."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgerec.core.text import printable

Item = TypeVar("Item")

LINE_EVERY_S = 30.0
"""Seconds between two progress lines if stderr is not a terminal."""


def log(message: str) -> None:
    """Write one line to stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(printable(message), markup=False)


def progress(
    items: Iterable[Item], *, what: str, total: int | None = None, note: Callable[[], str] | None = None
) -> Iterator[Item]:
    """Yield `items` and show a progress bar on stderr. If stderr is not a terminal, write lines every `LINE_EVERY_S`.

    Args:
        items: what to yield.
        what: the text before the bar.
        total: number of items, if it is known.
        note: returns the text after the bar. It is called after each item.
    """
    # Ask the stream and not rich: if FORCE_COLOR is set, rich treats any stream as a terminal.
    if not _is_terminal():
        yield from _with_lines(items, what=what, total=total, note=note)
        return
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as bars:
        task = bars.add_task(printable(what), total=total, note="")
        for item in items:
            yield item
            bars.update(task, advance=1, note=printable(note()) if note else "")


def progress_lines(items: Iterable[Item], *, what: str, total: int) -> Iterator[Item]:
    """Yield `items` and write a progress line now and then, more often on a terminal.

    Unlike `progress`, this starts no thread. So it does not disturb a measurement between two items.
    """
    every = LINE_EVERY_S / 6 if _is_terminal() else LINE_EVERY_S
    return _with_lines(items, what=what, total=total, note=None, every=every)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _with_lines(
    items: Iterable[Item],
    *,
    what: str,
    total: int | None,
    note: Callable[[], str] | None,
    every: float | None = None,
) -> Iterator[Item]:
    every = LINE_EVERY_S if every is None else every
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if (now := time.monotonic()) - last >= every:
            last = now
            said = note() if note else ""
            log(f"{what}: {done:,}{'' if total is None else f' of {total:,}'}{said and ', ' + said}")


@contextlib.contextmanager
def stage(what: str) -> Iterator[None]:
    """Log `what` when the block begins, and with the number of seconds that it took when it ends."""
    log(f"{what} ...")
    start = time.perf_counter()
    yield
    log(f"{what}: {time.perf_counter() - start:.1f} s")
