"""A line that appears when Ctrl-C is pressed, although the main thread is still in a native library."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

_INTERRUPT, _END = bytes([signal.SIGINT]), b"\0"


@contextlib.contextmanager
def said_at_once(text: str) -> Iterator[None]:
    """While the block runs, write one line to stderr as soon as SIGINT comes.

    Python runs the handler of a signal only when its main thread is back from native code. A training step of
    TensorFlow takes seconds on a busy machine. But Python writes the number of the signal to a file descriptor at once,
    which a thread reads here. Call this in the main thread only.

    Args:
        text: the line, after the name of the program.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def wait() -> None:
        received = os.read(reader, 1)
        while received not in (_END, _INTERRUPT):
            received = os.read(reader, 1)
        if received == _INTERRUPT:
            sys.stderr.write(f"edgerec: {text}\n")

    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=wait, name="edgerec-at-once", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        # To close the pipe is not enough: a child process may have a copy of its end.
        os.write(writer, _END)
        thread.join()
        os.close(writer)
        os.close(reader)
