"""What a forked process may do with MNN: a model runs only in the process that loaded it.

A fork copies memory, and of the threads only the one that forked. In the copy, a lock that another thread held stays
locked for ever, and MNN waits for ever for the threads of its pool. Both would hang without a word, so they are found
and refused. Processes that are spawned know nothing of their parent's models.
"""

from __future__ import annotations

import os

from edgerec.core.errors import SessionError

forks = 0
"""How many forks this process is away from the first one that imported this module."""
_pool: int | None = None
"""The value of `forks` in the process that made MNN's thread pool, which its forked children cannot use."""


def forked() -> SessionError:
    """The error for a model that was loaded before this process was forked."""
    return SessionError(
        "a model should run in the process that loaded it; this process was forked after the model was loaded: load "
        "the model in the child, or start processes by the spawn method"
    )


def claim_threads(count: int) -> None:
    """Take note that MNN makes its thread pool, if `count` threads need one.

    Raises:
        SessionError: the pool is that of a parent process, whose threads do not exist here.
    """
    global _pool
    if count == 1:
        return
    if _pool is not None and _pool != forks:
        raise SessionError(
            f"`threads` should be 1 in this process, received {count}: it was forked after its parent had loaded a "
            "model with several threads, and MNN's threads do not survive a fork; start processes by the spawn method"
        )
    _pool = forks


def _count() -> None:
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_count)
