"""Standard output of our own processes: results reach it, and nothing that C code prints does.

C libraries print on descriptor 1; MNN greets there when it is imported. Descriptor 1 belongs to the whole process: code
that sends it elsewhere for a moment takes the lines of all other threads along. So it is moved once, when a process of
ours begins and has one thread, and it is never moved back. Only the command line and our worker processes do that; a
library must not.
"""

from __future__ import annotations

import io
import os
import sys


def keep_for_results() -> None:
    """Give `sys.stdout` a descriptor of its own, and discard what is written to descriptor 1 from now on.

    Where `sys.stdout` does not write to descriptor 1 (a test has replaced it), nothing is changed.
    """
    stdout = sys.stdout
    if stdout is not None and not (isinstance(stdout, io.TextIOWrapper) and _descriptor(stdout) == 1):
        return
    _fill_closed()
    if stdout is None:
        return
    stdout.flush()
    # Nobody closes it, so that what is written last goes out when Python ends.
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
    """Discard what is written to descriptor 1 from now on, by Python too, in a process that has no results to print."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _descriptor(stream: io.TextIOWrapper) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # it has none, or is closed
        return None


def _fill_closed() -> None:
    """Open the null device as each standard descriptor that is closed.

    The next file that we open would get its number otherwise, and C code would print into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
