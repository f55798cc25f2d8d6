"""How a command runs: the extras that it needs, its signals, and how its process ends."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback

import click

from edgerec import __version__
from edgerec.core import stdout
from edgerec.core.errors import EdgeRecError, MissingExtraError
from edgerec.core.text import printable, shown


def need(extra: str, *modules: str) -> None:
    """Raise an error that names the extra to install if one of its modules is missing. Nothing is imported."""
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"{module} is not installed: pip install 'edgerec[{extra}]'")


def run(command: click.Command) -> None:
    """Run `command` on the process' arguments. An expected error becomes one line on stderr and exit code 1.

    The process has to be the command's own, because its signals and standard output are changed for good.
    """
    stdout.keep_for_results()
    # Otherwise polars refuses a whole file for an unknown time zone (+08:00), even if nobody reads the column.
    os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        # SystemExit runs every `finally` block and is not caught by libraries that catch `Exception`.
        stopped.append(number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Characters that the terminal's encoding lacks are escaped, as on stderr.
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
        # The reader of our output is gone. A second write at exit would fail again.
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
        # Code that is stopped during an import or a trace may raise any error.
        _stopped(stopped)
        sys.stderr.write("".join(shown(line) + "\n" for line in traceback.format_exc().splitlines()))
        versions = f"edgerec {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
        _fail(f"this is a bug in EdgeRec; please report it with the lines above ({versions})")


def _fail(text: str) -> None:
    sys.stderr.write(f"edgerec: {printable(text)}\n")
    sys.exit(1)


def _stopped(signals: list[int]) -> None:
    """Exit with the code of the first of `signals`, if there is one."""
    if signals:
        if signals[0] == signal.SIGINT:
            sys.stderr.write("edgerec: interrupted\n")
        sys.exit(128 + signals[0])
