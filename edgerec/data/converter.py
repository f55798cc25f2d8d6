"""The command line of a script that turns files into logs: SOURCE, OUT and --force (docs/converters.md)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgerec.core.errors import EdgeRecError, InputError, first_line
from edgerec.core.text import counted, shown
from edgerec.data.logs import Logs, write_logs


def run_converter(convert: Callable[[Path], Logs], arguments: Sequence[str] | None = None) -> None:
    """Read SOURCE, OUT and --force from the command line, convert the files in SOURCE, and write the logs to OUT.

    The last line of the output says what was written. An error of EdgeRec, or a file that does not exist, is printed
    as one line, and the exit code is 1. After Ctrl-C it is 130. Other exceptions are not caught: they are faults of
    `convert`, and need their traceback.

    Args:
        convert: a function that reads the files in a folder and returns the tables of logs. The first line of its
            docstring is the help text.
        arguments: the arguments; default: those of the command line.
    """
    parser = argparse.ArgumentParser(description=(convert.__doc__ or "").strip().split("\n")[0])
    parser.add_argument("source", type=Path, help="folder with the files to convert")
    parser.add_argument("out", type=Path, help="folder to write the logs to")
    parser.add_argument("--force", action="store_true", help="replace an existing output, but only if EdgeRec wrote it")
    given = parser.parse_args(arguments)
    try:
        if not given.source.exists():
            raise InputError(f"source {given.source} does not exist: give the folder with the files to convert")
        logs = convert(given.source)
        write_logs(logs, given.out, force=given.force)
    except KeyboardInterrupt:
        sys.stderr.write(f"{parser.prog}: interrupted\n")
        sys.exit(130)
    except (EdgeRecError, FileNotFoundError) as error:
        # polars appends lines to an error that is raised in an expression.
        sys.exit(f"{parser.prog}: {first_line(error)}")
    tables = ((logs.requests, "request"), (logs.events, "event"), (logs.items, "item"))
    requests, events, items = (counted(len(table), name, f"{name}s") for table, name in tables)
    sys.stdout.write(f"{parser.prog}: wrote {requests}, {events} and {items} to {shown(str(given.out))}\n")
