"""What all commands share: their options, the extras that they need, and how their process ends."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgerec import __version__
from edgerec.core import stdout
from edgerec.core.errors import EdgeRecError, MissingExtraError
from edgerec.core.text import printable, shown

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path, readable=False)  # What cannot be read is an error of its reader, in its words.
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
force_option = click.option("--force", is_flag=True, help="Replace the output if EdgeRec wrote all of it.")

processes_option = click.option(
    "--processes", type=click.IntRange(1, 1024), help="Processes at work at a time; default: one a core."
)


def out_option(what: str) -> Callable[[Command], Command]:
    """`--out PATH`, the folder to write."""
    return click.option("--out", required=True, type=PATH, help=f"Folder to write the {what} to.")


def need(extra: str, *modules: str) -> None:
    """Say which extra to install where one of its modules is missing; nothing is imported."""
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"{module} is not installed: pip install 'edgerec[{extra}]'")


def run(command: click.Command) -> None:
    """Run `command` on the process' arguments; expected errors become one line on stderr and exit code 1.

    The process has to be the command's own: signals and standard output are set up for the rest of its life.
    """
    stdout.keep_for_results()
    # polars refuses a whole file for a time zone that it does not know (+08:00), even if nobody reads the column.
    os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        # An exception that passes every block that cleans up, and that no library takes for its own affair.
        stopped.append(number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's encoding does not have is shown escaped, as Python does on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        command.main(standalone_mode=False)
    except SystemExit:
        _stopped(stopped)
        raise
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        sys.stderr.write("\n".join(map(shown, usage.getvalue().split("\n"))))
        sys.exit(error.exit_code)
    except EdgeRecError as error:
        _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has gone; a second write at exit would fail again.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        advice = ": free some space, and do it again" if error.errno == errno.ENOSPC else ""
        _fail(f"{error.strerror or error}{where}{advice}")
    except MemoryError:
        _fail("there is not enough memory for this: free some, or give a smaller input")
    except Exception:
        # Code that was stopped within an import or a trace may end in any error.
        _stopped(stopped)
        sys.stderr.write("".join(shown(line) + "\n" for line in traceback.format_exc().splitlines()))
        versions = f"edgerec {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
        _fail(f"this is a bug in EdgeRec; please report it with the lines above ({versions})")


def _fail(text: str) -> None:
    sys.stderr.write(f"edgerec: {printable(text)}\n")
    sys.exit(1)


def _stopped(signals: list[int]) -> None:
    """End as the first of `signals` asked, if there was one."""
    if signals:
        if signals[0] == signal.SIGINT:
            sys.stderr.write("edgerec: interrupted\n")
        sys.exit(128 + signals[0])
