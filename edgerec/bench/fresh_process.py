"""Fresh device processes for `edgerec bench cold` and `edgerec bench memory`: what they need, and how they start."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edgerec.bench.device_process import FAULT, MARK, PAGES, STORE, USER, VALUES
from edgerec.bench.recorded_pages import RecordedPages, load_recorded_pages, record_full_windows
from edgerec.bundle.load import load_device_model
from edgerec.core.errors import SessionError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.paging.codec import encode_page
from edgerec.paging.page import PageRequest

PAGE_FILES = 4
"""Number of different pages that a process gets, one after the other."""
ROWS = 50
"""Number of different values of behaviours of each kind."""
_START = """
import sys, time
begun = [("start Python", time.perf_counter_ns())]
import numpy
begun.append(("import numpy", time.perf_counter_ns()))
import MNN
begun.append(("import MNN", time.perf_counter_ns()))
if sys.argv[1] == "wait":
    print("edgerec phase import MNN", flush=True)
    if not sys.stdin.readline():
        sys.exit("the process that measures has ended")
from edgerec.bench.device_process import run
run(begun, sys.argv[1:])
"""


@dataclass
class Started:
    """A device process that runs.

    Attributes:
        process: the process.
        begun: when it was started, on the clock `time.perf_counter_ns`. All processes of a machine share this clock.
    """

    process: subprocess.Popen[str]
    begun: int

    def phases(self) -> Iterator[str]:
        """Yield the text of each line about a phase, until the process ends.

        Raises:
            SessionError: the process reports an error.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(FAULT):
                raise SessionError(f"bench: {line.removeprefix(FAULT).strip()}")
            if line.startswith(MARK):
                yield line.removeprefix(MARK).strip()

    def proceed(self) -> None:
        """Let a process that waits go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


class FreshProcess:
    """Starts device processes of one bundle. Each of them finds its own copy of a store whose windows are full.

    Args:
        bundle: the bundle.
        filled: a folder with a store, pages, and values of behaviours.
    """

    def __init__(self, bundle: Path, filled: Path) -> None:
        self._bundle, self._filled = bundle, filled

    @contextlib.contextmanager
    def start(self, report: str, *, reranks: int = 0) -> Iterator[Started]:
        """Start a process, and wait for its end when the block has read all its phases.

        Args:
            report: `time`: the process prints its phases at the end. `wait`: it prints each phase when it has ended,
                and then waits for a line.
            reranks: number of re-ranks after the first order. Each comes after several behaviours.

        Raises:
            SessionError: the process reports an error, or it crashes.
        """
        with tempfile.TemporaryDirectory(prefix="edgerec-bench-") as folder, tempfile.TemporaryFile("w+") as errors:
            shutil.copytree(self._filled, folder, dirs_exist_ok=True)
            bundle = str(self._bundle.resolve())
            command = [sys.executable, "-c", _START, report, bundle, folder, str(reranks), str(os.getpid())]
            begun = time.perf_counter_ns()
            # In the folder of a clone, the process would import EdgeRec from there, and not the one that is installed.
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder
            ) as process:
                try:
                    yield Started(process, begun)
                except BaseException:
                    process.kill()
                    raise
            if process.returncode:
                errors.seek(0)
                lines = errors.read().strip().splitlines() or ["it printed no error"]
                raise SessionError(
                    f"bench: the device process of {self._bundle} ended with exit code {process.returncode} "
                    f"({lines[-1]}): do not use this bundle on this machine"
                )


@contextlib.contextmanager
def fresh_process(bundle: Path) -> Iterator[FreshProcess]:
    """Yield a starter of device processes of `bundle`: fill the windows of a store, and write pages.

    Raises:
        EdgeRecError: as for `load_device_model` and `load_recorded_pages`.
    """
    model = load_device_model(bundle)
    pages = load_recorded_pages(bundle)
    with tempfile.TemporaryDirectory(prefix="edgerec-bench-") as name:
        folder = Path(name)
        _fill_store(folder / STORE, model, pages)
        (folder / PAGES).mkdir()
        for number in range(PAGE_FILES):
            page = pages.page(PageRequest(USER, 1, model.version_id, model.limits.candidates))
            (folder / PAGES / str(number)).write_bytes(encode_page(page))
        values = {kind.name: list(islice(pages.values(kind), ROWS)) for kind in BEHAVIOUR_KINDS}
        (folder / VALUES).write_text(json.dumps(values))
        yield FreshProcess(bundle, folder)


def _fill_store(path: Path, model: DeviceModel, pages: RecordedPages) -> None:
    with BehaviourStore(path, user_id=USER, limits=model.limits) as store:
        client = Client(store, pages, model, config=ClientConfig(page=100, prefetch=0))
        record_full_windows(client, pages, model.limits)
        client.close()
