"""Keep standard output for results, and discard what C libraries print.

C libraries print to file descriptor 1; MNN does so when it is imported. All threads share this descriptor, so a
temporary redirection would also catch the output of other threads. Therefore the descriptor is redirected once, at the
start of a process, and never restored. Only the command line and the worker processes do this, because a library must
not change the standard output of its caller.
"""

from __future__ import annotations

import io
import os
import sys


def keep_for_results() -> None:
    """Give `sys.stdout` a new descriptor, and discard everything that is written to descriptor 1.

    If `sys.stdout` does not write to descriptor 1, for example in a test, nothing changes.
    """
    stdout = sys.stdout
    if stdout is not None and not (isinstance(stdout, io.TextIOWrapper) and _descriptor(stdout) == 1):
        return
    _fill_closed()
    if stdout is None:
        return
    stdout.flush()
    # The descriptor stays open, so that Python can flush the last output at its exit.
    binary = open(os.dup(1), "wb", buffering=0 if stdout.write_through else -1, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(  # type: ignore[misc]
        binary,
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
        write_through=stdout.write_through,
    )
    discard()


def discard() -> None:
    """Discard everything that this process writes to descriptor 1, including output of Python code."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 1)
    os.close(null_device)


def _descriptor(stream: io.TextIOWrapper) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # the stream has no descriptor, or it is closed
        return None


def _fill_closed() -> None:
    """Open the null device for each standard descriptor that is closed.

    Otherwise the next opened file would get the number of a standard descriptor, and C libraries would print into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
