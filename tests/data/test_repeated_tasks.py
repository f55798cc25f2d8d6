"""Tasks of `samples` that run twice, or too late, change nothing. Both happens on a cluster.

A worker that was thought dead may still work, beside the worker that repeats its task. A task that was running when its
command was stopped ends later, maybe during the next command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.executor import Executor
from edgerec.data import build_samples
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import write_logs
from tests.synthetic import make_logs

LOGS = make_logs(users=6)


@dataclass
class Recording:
    """Runs tasks in this process and keeps them."""

    tasks: list[tuple[Callable[[Any], Any], Any]] = field(default_factory=list)

    def map_ordered(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        for task in tasks:
            self.tasks.append((function, task))
            yield self.result(function, task)

    def result(self, function: Callable[[Any], Any], task: Any) -> Any:
        return function(task)

    def check_sees(self, folder: Path) -> None:
        assert folder.is_dir()


class Twice(Recording):
    """Runs each task in two threads at the same time."""

    def result(self, function: Callable[[Any], Any], task: Any) -> Any:
        with ThreadPoolExecutor(2) as threads:
            one, other = threads.map(function, [task, task])
        assert one == other
        return one


def make(executor: Executor, monkeypatch: pytest.MonkeyPatch, logs: Path, out: Path, **settings: Any) -> None:
    """Make samples with `executor` in place of a cluster."""
    monkeypatch.setattr(build_samples, "open_cluster", lambda _: contextlib.nullcontext(executor))
    write_samples(logs, out, target=1, cluster="tcp://here", **settings)


def content(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def mixed_logs(folder: Path) -> Path:
    """Write logs with one file of each table. So `samples` partitions them by user first."""
    write_logs(LOGS, folder / "logs")
    return folder / "logs"


def test_a_task_that_runs_twice_at_the_same_time_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = mixed_logs(tmp_path)
    write_samples(logs, tmp_path / "once", target=1)
    executor = Twice()
    make(executor, monkeypatch, logs, tmp_path / "twice")
    assert {function.func.__name__ for function, _ in executor.tasks if hasattr(function, "func")} == {
        "_count",
        "_encode",
    }
    assert "_write" in {getattr(function, "__name__", "") for function, _ in executor.tasks}
    assert content(tmp_path / "twice") == content(tmp_path / "once")


def test_a_task_that_ends_after_its_command_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = mixed_logs(tmp_path)
    executor = Recording()
    make(executor, monkeypatch, logs, tmp_path / "samples")
    before, beside = content(tmp_path / "samples"), sorted(tmp_path.iterdir())
    for function, task in executor.tasks:
        with pytest.raises(OSError):
            function(task)
    assert content(tmp_path / "samples") == before
    assert sorted(tmp_path.iterdir()) == beside


class AfterOthers(Recording):
    """Before each task, runs all tasks of an older command."""

    def __init__(self, older: Recording) -> None:
        super().__init__()
        self.older = older

    def result(self, function: Callable[[Any], Any], task: Any) -> Any:
        for late, old in self.older.tasks:
            with contextlib.suppress(OSError):
                late(old)
        return function(task)


def test_a_task_of_an_older_command_does_not_change_the_output_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older command has other limits. Its tasks have the same numbers."""
    logs = mixed_logs(tmp_path)
    write_samples(logs, tmp_path / "expected", target=1)
    older = Recording()
    make(older, monkeypatch, logs, tmp_path / "samples", limits={"exposures": 3})
    assert content(tmp_path / "samples") != content(tmp_path / "expected")
    make(AfterOthers(older), monkeypatch, logs, tmp_path / "samples", force=True)
    assert content(tmp_path / "samples") == content(tmp_path / "expected")
