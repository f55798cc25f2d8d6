"""Work spread over processes, with results in order and nothing left running.

Not by `ProcessPoolExecutor`: its semaphores have names under /dev/shm, which stay there when all processes of a command
are killed together. A pipe has no name.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

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
    ``if __name__ == "__main__"``. At most two tasks for each process are at work or have results that wait.

    Raises:
        ResourceError: a process died, most often for want of memory.
        Exception: what `function` raised first, in the order of tasks.
    """
    processes = min(processes, len(tasks))
    if processes <= 1:
        yield from map(function, tasks)
        return
    waiting: deque[Future[Result]] = deque()
    idle: SimpleQueue[_Worker] = SimpleQueue()

    def call(task: Task) -> Result:
        worker = idle.get()
        try:
            return worker.call(task)  # type: ignore[no-any-return]
        finally:
            idle.put(worker)

    # A thread waits for each process. The processes end first, so that no thread waits for ever.
    with ThreadPoolExecutor(processes, "map_ordered") as threads, _workers(function, processes) as workers:
        for worker in workers:
            idle.put(worker)
        try:
            for task in tasks:
                waiting.append(threads.submit(call, task))
                if len(waiting) >= 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except _DiedError:
            raise ResourceError(
                "a worker process died, most often for want of memory, else over a damaged file: use fewer with "
                "--processes, free some memory, or make the files anew"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


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
    with _workers(function, 1) as [worker]:
        try:
            return worker.call(task)  # type: ignore[no-any-return]
        except _DiedError:
            raise died() from None


class _DiedError(Exception):
    """A process ended without an answer."""


class _TracebackError(Exception):
    """Where in the other process an exception was raised; shown as its cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Worker:
    """A process that calls one function on task after task."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, os.getpid()), daemon=True)
        self._process.start()
        # Only the process has it now, so that its end can be seen.
        other.close()

    def send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except ConnectionError:
            raise _DiedError from None

    def call(self, task: Any) -> Any:
        """What the function returns or raises."""
        self.send(task)
        try:
            result, error, where = self._connection.recv()
        except (EOFError, ConnectionError):
            raise _DiedError from None
        if error is not None:
            raise error from _TracebackError(where)
        return result

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.terminate()
        self._process.join()
        self._process.close()
        self._connection.close()


@contextlib.contextmanager
def _workers(function: Callable[..., Any], count: int) -> Iterator[list[_Worker]]:
    """So many processes for `function`; they end with the block."""
    started: list[_Worker] = []
    try:
        for _ in range(count):
            started.append(_Worker())
        # Send only after all have been started: sending a long message blocks until it is read.
        for worker in started:
            with contextlib.suppress(_DiedError):  # The first call will say so.
                worker.send(function)
        yield started
    finally:
        # What is at work is of no use any more, and whoever pressed ^C does not want to wait for it.
        for worker in started:
            worker.end()


def _serve(connection: Connection, parent: int) -> None:
    """Call the function that comes first with each task that follows, until no more come."""
    _begin(parent)
    try:
        function = connection.recv()
        while True:
            connection.send_bytes(_answer(function, connection.recv()))
    except (EOFError, ConnectionError):
        return


def _answer(function: Callable[[Any], Any], task: Any) -> bytes:
    """What a call returned, or what it raised and where, pickled."""
    try:
        return pickle.dumps((function(task), None, ""))
    except BaseException as error:
        return pickle.dumps((None, error, traceback.format_exc()))


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
