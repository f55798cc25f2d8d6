"""Work spread over processes, with results in order and nothing left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from edgerec.core import stdout
from edgerec.core.errors import ResourceError

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ordered(function: Callable[[Task], Result], tasks: Sequence[Task], *, processes: int) -> Iterator[Result]:
    """``function(task)`` of each of `tasks`, in their order, computed by `processes` at a time.

    With one process, or one task, everything happens in this one. Otherwise processes are spawned, as threads of other
    libraries do not survive a fork: `function` and its tasks must pickle, and a script that calls this needs the usual
    ``if __name__ == "__main__"``. Each process has at most one task waiting beside the one at work.

    Raises:
        ResourceError: a process died, most often for want of memory.
        Exception: what `function` raised first, in the order of tasks.
    """
    processes = min(processes, len(tasks))
    if processes <= 1:
        yield from map(function, tasks)
        return
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    )
    before = set(multiprocessing.active_children())
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) >= 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise ResourceError(
            "a worker process died, most often for want of memory, else over a damaged file: use fewer with "
            "--processes, free some memory, or make the files anew"
        ) from None
    except BaseException:
        # What is at work is of no use any more, and whoever pressed ^C does not want to wait for it.
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def run_apart(function: Callable[[Task], Result], task: Task, *, died: Callable[[], Exception]) -> Result:
    """``function(task)`` in a process of its own, so that native code that crashes does not take this one along.

    As with `map_ordered`, `function` and `task` must pickle, and a script needs its ``if __name__ == "__main__"``.

    Args:
        function: to call.
        task: what with.
        died: makes the error to raise where the process ends without a result.

    Raises:
        Exception: what `function` raised, or that of `died`.
    """
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))
    before = set(multiprocessing.active_children())
    try:
        return pool.submit(function, task).result()
    except BrokenProcessPool:
        raise died() from None
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    """What each process does first: leave ^C, which reaches all of the group, to `parent`, and not outlive it.

    Results go to `parent`, so that standard output is of no use here, and C code may print what it likes.

    One whose parent was killed would go on writing where resumed work writes already (prctl(2); Linux alone has it).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdout.discard()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
