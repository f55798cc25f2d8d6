"""Hide the messages that native libraries write to stderr while they are loaded."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr(*, shown_after: type[BaseException] | tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Redirect file descriptor 2 during the block, so that native libraries write no messages to stderr.

    All threads share the descriptor, so use this only while the process has one thread that writes to stderr.

    Args:
        shown_after: if the block raises such an exception, the messages are written to stderr after all.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except shown_after:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
