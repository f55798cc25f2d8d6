"""Stop a process at a chosen point, so that a test can kill it there."""

from __future__ import annotations

from pathlib import Path

CODE = """
import glob, os, sys, time

main = int(os.environ.setdefault("STOPPED_MAIN", str(os.getpid())))

def stop(event, arguments):
    while event == "open" and glob.glob({file!r}):
        # The main process was killed, so this worker ends. It may not watch its parent yet, and would wait forever.
        if main not in (os.getpid(), os.getppid()):
            os._exit(1)
        time.sleep(0.1)

sys.addaudithook(stop)
"""


def stop_at(file: Path) -> str:
    """Return Python code. A process that runs it waits forever at its first `open` after `file` exists.

    `file` may be a pattern of `glob`.
    """
    return CODE.format(file=str(file))
