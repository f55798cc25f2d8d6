"""Run tasks on the workers of a running cluster of dask.distributed (docs/clusters.md).

A cluster is a scheduler and workers, each started by the user. This process connects to the scheduler only, and opens
no port. If a worker dies, the scheduler gives its tasks to another one. Functions and tasks are pickled here and
unpickled by a worker, after the worker has compared its installation with that of this process.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import secrets
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeVar

from edgerec.core.errors import InputError, MissingExtraError, ResourceError, first_line, not_installed
from edgerec.core.installation import installation
from edgerec.core.text import shown

Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECT_S = 10.0
"""How long to wait for the scheduler, and then for the first worker."""
COUNT_S = 1.0
"""How often to count the threads of the workers, which may come and go."""
CHECK_S = 10.0
"""While a result is awaited, how often to look whether there are workers."""
WITHOUT_WORKERS_S = 300.0
"""How long a command waits while the cluster has no worker. Then it ends."""
_ENVIRONMENT = ("POLARS_IGNORE_TIMEZONE_PARSE_ERROR",)
"""Variables that change how tasks read files. Child processes inherit them, but workers of a cluster do not."""


class Cluster:
    """An `edgerec.core.executor.Executor` on the workers of a cluster. `open_cluster` makes it."""

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address

    def map_ordered(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Call `function` with each of `tasks` on the workers, and yield the results in the order of the tasks.

        At any time, at most two tasks for each thread of the workers are running or finished but not yet yielded.
        When the iterator is closed, tasks that have not begun are cancelled. A task that has begun runs to its end.

        Raises:
            ResourceError: a task ended several workers, no worker is left, or the scheduler is gone.
            InputError: a worker has another installation.
            Exception: the exception that `function` raised for the first failing task.
        """
        name = f"edgerec-{getattr(getattr(function, 'func', function), '__name__', 'task').strip('_')}"
        run = secrets.token_hex(4)
        # This is sent with each task. It is small: about 5 KB for the samples of a simulated world, because it has the
        # vocabularies of served values only.
        context = pickle.dumps((function, _environment()))
        waiting: deque[Any] = deque()
        most, count_at = 1, 0.0
        try:
            for number, task in enumerate(tasks):
                # A task without dependencies waits at the scheduler until a thread is free, on whichever worker.
                arguments = context, pickle.dumps(task), installation()
                waiting.append(self._submit(_call, *arguments, key=f"{name}-{run}-{number:05d}"))
                if time.monotonic() >= count_at:
                    most, count_at = 2 * max(1, self._threads()), time.monotonic() + COUNT_S
                if len(waiting) >= most:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            with contextlib.suppress(Exception):  # The scheduler may be gone.
                self._client.cancel(list(waiting))

    def check_sees(self, folder: Path) -> None:
        """Check that the workers see `folder`, under the same path.

        Raises:
            InputError: a worker does not see it.
            ResourceError: a worker stopped meanwhile, or the scheduler is gone.
        """
        token = secrets.token_hex(8)
        file = folder / f"seen-{token}"
        file.touch()
        try:
            for worker, found in self._on_workers(_is_file, str(file)).items():
                if isinstance(found, BaseException):
                    raise ResourceError(
                        f"cluster: worker {worker} stopped before it answered ({shown(first_line(found)[:200])}): run "
                        "the command again"
                    )
                if not found:
                    raise InputError(
                        f"cluster: worker {worker} does not see {folder}: all workers need the file system of the logs "
                        "and of --out, under the same paths"
                    )
        finally:
            file.unlink(missing_ok=True)

    def check_installations(self) -> None:
        """Check that the workers have the installation of this process. Otherwise the bytes of results may differ.

        Raises:
            InputError: a worker has another installation.
            ResourceError: the scheduler is gone.
        """
        for worker, found in self._on_workers(_installation_there).items():
            if isinstance(found, BaseException):
                raise InputError(
                    f"cluster: worker {worker} cannot run EdgeRec ({shown(first_line(found)[:200])}): install the same "
                    "EdgeRec on the scheduler and on all workers"
                )
            _check_equal(found, installation(), worker)

    def _submit(self, function: Callable[..., Any], *arguments: Any, key: str) -> Any:
        with self._connected():
            return self._client.submit(function, *arguments, key=key, pure=False)

    def _threads(self) -> int:
        with self._connected():
            return sum(self._client.nthreads().values())

    def _on_workers(self, function: Callable[..., Any], *arguments: Any) -> Mapping[str, Any]:
        with self._connected():
            results: Mapping[str, Any] = self._client.run(function, *arguments, on_error="return")
            return results

    def _result(self, future: Any) -> Any:
        from distributed import TimeoutError as NotYetError  # In Python 3.10, this is not the builtin class.
        from distributed.scheduler import KilledWorker

        alone = 0.0
        try:
            while True:
                try:
                    return future.result(timeout=CHECK_S)
                except (NotYetError, TimeoutError):
                    if future.status == "error":
                        return future.result()  # This raises what the task raised, which may be such an error, too.
                alone = 0.0 if self._threads() else alone + CHECK_S
                if alone >= WITHOUT_WORKERS_S:
                    raise ResourceError(
                        f"cluster: {self._address} has had no worker for {WITHOUT_WORKERS_S:.0f} s: start workers"
                    )
        except KilledWorker as error:
            raise ResourceError(
                f"cluster: {error.allowed_failures + 1} workers died one after another while they ran the task "
                f"{error.task}: the usual reason is missing memory: give workers more memory or fewer threads, "
                "and read their logs"
            ) from None
        except CancelledError:
            raise self._gone() from None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except (OSError, CancelledError):
            raise self._gone() from None

    def _gone(self) -> ResourceError:
        return ResourceError(f"cluster: the connection to the scheduler {self._address} is lost: start it again")


@contextlib.contextmanager
def open_cluster(address: str) -> Iterator[Cluster]:
    """Connect to the scheduler at `address`, check its workers, and yield the cluster.

    TLS certificates come from dask's own configuration (``distributed.comm.tls``).

    Args:
        address: the address of the scheduler, such as ``tcp://10.0.0.1:8786`` or ``tls://10.0.0.1:8786``.

    Raises:
        InputError: `address` is not valid, or a worker has another installation.
        ResourceError: the scheduler does not answer, or it has no worker.
        MissingExtraError: dask.distributed is not installed.
    """
    try:
        from distributed import Client
        from distributed import TimeoutError as NotYetError
    except ModuleNotFoundError:
        raise MissingExtraError(not_installed("distributed", "cluster")) from None
    with _quiet(), contextlib.ExitStack() as stack:
        where = shown(address)
        try:
            if not address:  # dask would start a cluster of its own.
                raise ValueError("it is empty")
            # Results come through the scheduler, so this process opens no port.
            client = stack.enter_context(
                Client(address, timeout=CONNECT_S, set_as_default=False, direct_to_workers=False)
            )
        except OSError:
            raise ResourceError(
                f"cluster: no scheduler answers at {where} within {CONNECT_S:.0f} s: check the address, and that "
                "`dask scheduler` runs"
            ) from None
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(
                f"cluster: {where} is not a usable address ({shown(first_line(error)[:200])}): give one such as "
                "tcp://10.0.0.1:8786"
            ) from None
        cluster = Cluster(client, where)
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except (NotYetError, TimeoutError):
            raise ResourceError(
                f"cluster: the scheduler at {where} has no worker: start some with `dask worker {where} --nthreads 1`"
            ) from None
        cluster.check_installations()
        yield cluster


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the log lines and warnings of dask: a fault is one line, and `check_installations` compares more."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "distributed.core", "asyncio")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        gc.collect()  # asyncio logs an exception that nobody read when the object that has it is deleted.
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


def _is_file(path: str) -> bool:
    # Listing the folder makes a network file system look again.
    with contextlib.suppress(OSError):
        os.listdir(os.path.dirname(path))
    return os.path.isfile(path)


def _call(context: bytes, task: bytes, expected: Mapping[str, str]) -> Any:
    """Run a task. This runs on a worker."""
    # A worker may have joined after the check at the start.
    _check_equal(_installation_there(), expected, "that joined later")
    function, environment = pickle.loads(context)
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    return function(pickle.loads(task))


def _installation_there() -> dict[str, str]:
    return installation()


def _check_equal(found: Mapping[str, str], expected: Mapping[str, str], worker: str) -> None:
    for name, wanted in expected.items():
        if found.get(name) != wanted:
            raise InputError(
                f"cluster: worker {worker} has {name} {shown(str(found.get(name)))}, but this process has {wanted}: "
                "install the same on all workers, because the bytes of samples depend on it"
            )
