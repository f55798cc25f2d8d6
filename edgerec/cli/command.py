"""Run a command: check the packages that it needs, handle signals, and end the process with an exit code."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator

import click

from edgerec import __version__
from edgerec.core import stdout
from edgerec.core.errors import EdgeRecError, MissingExtraError, not_installed
from edgerec.core.text import printable, shown

_signals: list[int] = []
"""The signals that `run` got. It runs one command in a process."""


def need(extra: str, *modules: str) -> None:
    """Raise unless all `modules` are installed. This does not import them.

    Raises:
        MissingExtraError: a module is missing. The error names the `extra` of EdgeRec that installs it.
    """
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(not_installed(module, extra))


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Let a signal end a server's command with exit code 0, because a server runs until it is stopped.

    A second signal interrupts what the server does at its end, so it keeps its exit code.
    """
    try:
        yield
    except SystemExit:
        if len(_signals) != 1:
            raise
        sys.stderr.write("edgerec: stopped\n")


def run(command: click.Command) -> None:
    """Run `command` with the arguments of the process. An expected error becomes one line on stderr and exit code 1.

    Call this only in a process that runs nothing else, because it changes signal handlers and standard output
    permanently.
    """
    stdout.keep_for_results()
    # Without this, polars refuses a file if any column has a time zone that polars does not know, such as +08:00.
    os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

    def stop(number: int, _: object) -> None:
        # SystemExit runs every `finally` block and is not caught by libraries that catch `Exception`.
        _signals.append(number)
        # `bench compare` stops its commands, but ^C has stopped them already. They should clean up only once.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Escape the characters that the terminal cannot encode, as Python does on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        command.main(standalone_mode=False)
    except SystemExit:
        _stopped()
        raise
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        sys.stderr.write("\n".join(map(shown, usage.getvalue().split("\n"))))
        sys.exit(error.exit_code)
    except EdgeRecError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The program that reads our output has ended. Python would write again at exit and fail again.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        advice = ": free some disk space, then run the command again" if error.errno == errno.ENOSPC else ""
        _fail(f"{error.strerror or error}{where}{advice}")
    except MemoryError:
        _fail("there is not enough memory: free some memory or use a smaller input")
    except Exception:
        # A signal during an import or during tracing by TensorFlow may turn into any error.
        _stopped()
        sys.stderr.write("".join(shown(line) + "\n" for line in traceback.format_exc().splitlines()))
        versions = f"edgerec {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
        _fail(f"this is a bug in EdgeRec; please report it with the lines above ({versions})")
    finally:
        # The process ends now. Without this, the garbage collector first looks at all objects several times, which
        # takes seconds if TensorFlow is imported.
        gc.freeze()


def _fail(text: str) -> None:
    sys.stderr.write(f"edgerec: {printable(text)}\n")
    sys.exit(1)


def _stopped() -> None:
    """If there was a signal, exit with the exit code of the first one."""
    if _signals:
        if _signals[0] == signal.SIGINT:
            sys.stderr.write("edgerec: interrupted\n")
        sys.exit(128 + _signals[0])
