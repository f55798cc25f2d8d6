"""Run work in several processes, return the results in order, and end all processes afterwards.

This module does not use `ProcessPoolExecutor`. That class uses named semaphores, which stay in /dev/shm if all
processes of a command are killed together. This module uses pipes, which have no names.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

from edgerec.core import stdout
from edgerec.core.errors import ResourceError
from edgerec.core.parent import die_with

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ordered(function: Callable[[Task], Result], tasks: Sequence[Task], *, processes: int) -> Iterator[Result]:
    """Call `function` with each of `tasks` in several processes, and yield the results in the order of the tasks.

    With one process or one task, this process does all work. Otherwise processes are spawned and not forked, because
    threads of other libraries do not survive a fork. So `function` and the tasks must be picklable, and a script that
    calls this needs ``if __name__ == "__main__"``. At any time, at most two tasks for
    each process are running or finished but not yet yielded.

    Args:
        function: the function to call.
        tasks: its arguments.
        processes: maximum number of processes.

    Raises:
        ResourceError: a process died. The most frequent reason is missing memory.
        Exception: the exception that `function` raised for the first failing task.
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

    # One thread waits for each process. The processes end before the threads, so that no thread waits forever.
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
                "a worker process died; the usual reason is missing memory, another is a damaged file: use fewer "
                "--processes, free some memory, or make the files again"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def run_in_child(function: Callable[[Task], Result], task: Task, *, died: Callable[[], Exception]) -> Result:
    """Return ``function(task)``, computed in a child process, so that a crash of native code does not end this process.

    `function` and `task` must be picklable, and a script that calls this needs ``if __name__ == "__main__"``.

    Args:
        function: the function to call.
        task: its argument.
        died: returns the error to raise if the child ends without a result.

    Raises:
        Exception: the exception of `function`, or the error from `died`.
    """
    with _workers(function, 1) as [worker]:
        try:
            return worker.call(task)  # type: ignore[no-any-return]
        except _DiedError:
            raise died() from None


class _DiedError(Exception):
    """A worker process ended without a result."""


class _TracebackError(Exception):
    """The traceback of an exception in a worker process. It is shown as the cause of the exception."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Worker:
    """A process that calls one function with one task after another."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, worker_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(worker_end, os.getpid()), daemon=True)
        self._process.start()
        # Now only the worker has this end of the pipe open, so the pipe closes when the worker dies.
        worker_end.close()

    def send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except ConnectionError:
            raise _DiedError from None

    def call(self, task: Any) -> Any:
        """Return the result of the function for `task`, or raise its exception."""
        self.send(task)
        try:
            result, error, trace = self._connection.recv()
        except (EOFError, ConnectionError):
            raise _DiedError from None
        if error is not None:
            raise error from _TracebackError(trace)
        return result

    def end(self) -> None:
        """Terminate the process, even during a task."""
        self._process.terminate()
        self._process.join()
        self._process.close()
        self._connection.close()


@contextlib.contextmanager
def _workers(function: Callable[..., Any], count: int) -> Iterator[list[_Worker]]:
    """Start `count` workers for `function`, and terminate them at the end of the block."""
    started: list[_Worker] = []
    try:
        for _ in range(count):
            started.append(_Worker())
        # Start all workers before sending, because sending a long message blocks until it is read.
        for worker in started:
            with contextlib.suppress(_DiedError):  # The first task of this worker reports the error.
                worker.send(function)
        yield started
    finally:
        # Do not wait for running tasks: nobody needs their results now, and after ^C the user wants to stop at once.
        for worker in started:
            worker.end()


def _serve(connection: Connection, parent: int) -> None:
    """Receive a function, then call it with each received task until the connection closes."""
    _set_up_worker(parent)
    try:
        function = connection.recv()
        while True:
            connection.send_bytes(_answer(function, connection.recv()))
    except (EOFError, ConnectionError):
        return


def _answer(function: Callable[[Any], Any], task: Any) -> bytes:
    """Return the pickled result of a call, or its pickled exception and traceback."""
    try:
        return pickle.dumps((function(task), None, ""))
    except BaseException as error:
        return pickle.dumps((None, error, traceback.format_exc()))


def _set_up_worker(parent: int) -> None:
    """Set up a worker process: ignore ^C, discard standard output, and die together with `parent`.

    ^C reaches all processes of the group, and `parent` handles it. Results go to `parent` through the connection, so
    the worker needs no standard output.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdout.discard()
    die_with(parent)
