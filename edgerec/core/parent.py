"""Let a process end together with the process that started it.

A process that outlives its parent could write to files that the parent has removed, or that a new command writes.
"""

from __future__ import annotations

import os
import sys

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
# The module `signal` is not imported for its constant: `edgerec bench cold` measures what a device process imports.


def die_with(parent: int) -> None:
    """Let the kernel kill this process when the process `parent`, which started it, ends.

    prctl(2) exists only on Linux. On other systems this function does nothing.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
