"""The lock of a client. A forked process gets an error from it, because it would wait for ever.

A fork copies only the thread that forked. If a worker thread held the lock, nobody in the child releases it.
"""

from __future__ import annotations

import threading

from edgerec.core.errors import SessionError
from edgerec.device_runtime import forks


class ClientLock(threading.Condition):
    """A condition with a lock that a thread may take again. Only the process that made it may take it.

    Raises:
        SessionError: `with` is used in a process that was forked later.
    """

    def __init__(self) -> None:
        super().__init__(threading.RLock())
        self._forks = forks.forks

    def __enter__(self) -> bool:
        if forks.forks != self._forks:
            raise SessionError(
                "a client should be used by the process that made it, but this process was forked later: make the "
                "client after the fork"
            )
        return super().__enter__()
