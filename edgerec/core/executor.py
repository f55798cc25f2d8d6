"""Where the tasks of a command run: in processes on this machine, or on a cluster (`edgerec.core.cluster`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edgerec.core.parallel import map_ordered

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs tasks. A task may run twice, also at the same time, so it writes its files atomically."""

    def map_ordered(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Call `function` with each of `tasks`, and yield the results in the order of the tasks.

        `function`, the tasks and the results are pickled.

        Raises:
            ResourceError: a process or the cluster that runs tasks died.
            Exception: the exception that `function` raised for the first failing task.
        """
        ...

    def check_sees(self, folder: Path) -> None:
        """Check that everything that runs tasks sees the files of `folder` under the same path.

        Raises:
            InputError: a worker does not see them.
        """
        ...


@dataclass(frozen=True)
class Local:
    """Runs tasks in processes on this machine.

    Attributes:
        processes: maximum number of processes. With one, the caller's process runs the tasks.
    """

    processes: int = 1

    def map_ordered(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """See `edgerec.core.parallel.map_ordered`."""
        return map_ordered(function, tasks, processes=self.processes)

    def check_sees(self, folder: Path) -> None:
        """Do nothing: processes on this machine see the same files."""


ONE_PROCESS = Local()
"""The default of functions that take an executor."""
