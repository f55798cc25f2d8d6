"""A real cluster of dask.distributed on this machine: a scheduler and workers, each a process, over loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class DaskCluster:
    """A scheduler and workers. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self._file = folder / "scheduler.json"
        self._scheduler: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The address of the scheduler."""
        return str(json.loads(self._file.read_text())["address"])

    def __enter__(self) -> DaskCluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scheduler = self._start(
            "scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self._file, "--no-show"
        )
        while not self._file.exists():
            assert self._scheduler.poll() is None, (self.folder / "scheduler.log").read_text()
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self.workers, self._scheduler]:
            if process is not None:
                process.kill()
                process.wait()

    def add_worker(self, *, setup: str = "", threads: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny, so that nobody starts it again when it is killed.

        Args:
            setup: Python code that the worker runs at its start.
            threads: number of tasks that it runs at the same time.
            environment: more environment variables.
        """
        name = f"worker-{len(self.workers)}"
        options = ["--no-nanny", "--nthreads", str(threads), "--no-dashboard", "--host", "127.0.0.1", "--name", name]
        if setup:
            (self.folder / f"{name}.py").write_text(setup)
            options += ["--preload", str(self.folder / f"{name}.py")]
        worker = self._start(name, "worker", self.address, *options, "--local-directory", self.folder, **environment)
        self.workers.append(worker)
        return worker

    def _start(self, name: str, *arguments: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + str(arguments[0]), *map(str, arguments[1:])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
            )
