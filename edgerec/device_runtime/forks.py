"""Detection of forks: a model runs only in the process that loaded it.

A fork copies the memory, but only one thread: the one that forked. In the child, a lock that another thread held stays
locked for ever, and MNN waits for ever for the threads of its pool. Both would hang without an error, so this module
detects them and an error is raised. Spawned processes do not inherit models, so they have no such limit.
"""

from __future__ import annotations

import os

from edgerec.core.errors import SessionError

forks = 0
"""Number of forks between the process that first imported this module and this process."""
_pool: int | None = None
"""The value of `forks` in the process that created MNN's thread pool. Its forked children cannot use this pool."""


def forked() -> SessionError:
    """Return the error for a model that was loaded before this process was forked."""
    return SessionError(
        "a model should run in the process that loaded it, but this process was forked after the model was loaded: "
        "load the model in the child, or start processes by the spawn method"
    )


def claim_threads(count: int) -> None:
    """Record that this process owns MNN's thread pool, if `count` threads need a pool.

    Raises:
        SessionError: a parent process created the pool, and its threads do not exist in this process.
    """
    global _pool
    if count == 1:
        return
    if _pool is not None and _pool != forks:
        raise SessionError(
            f"`threads` should be 1 in this process, received {count}: its parent loaded a model with several threads "
            "before the fork, and MNN's threads do not survive a fork; start processes by the spawn method"
        )
    _pool = forks


def _count() -> None:
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_count)
