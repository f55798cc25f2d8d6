"""An interrupted command leaves neither temporary folders nor processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(2)")
INTERRUPT = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def interrupt(
    command: list[str | Path], number: int, folder: Path, ready: Callable[[list[psutil.Process]], bool]
) -> int:
    """Send a signal to a command when `ready`. Return its exit code. SIGINT goes to all its processes, as after ^C.

    Then no process of the command runs, and `folder`, the folder for temporary files, is empty.
    """
    started = subprocess.Popen(
        [sys.executable, "-m", "edgerec", *map(str, command)],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process = psutil.Process(started.pid)
        while not ready(children := process.children(recursive=True)):
            assert started.poll() is None
            time.sleep(0.01)
        (os.killpg if number == signal.SIGINT else os.kill)(started.pid, number)
        code = started.wait(60)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        assert list(folder.iterdir()) == []
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    return code


def device_process_runs(children: list[psutil.Process]) -> bool:
    """Return whether one of the processes is a device process. Its command line has the folder of its files."""
    for child in children:
        try:
            if any("edgerec-bench-" in part for part in child.cmdline()):
                return True
        except psutil.NoSuchProcess:
            pass
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), INTERRUPT)
def test_an_interrupted_measurement_leaves_no_device_process(
    number: int, code: int, bundle_path: Path, tmp_path: Path
) -> None:
    assert interrupt(["bench", "memory", bundle_path], number, tmp_path, device_process_runs) == code


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), INTERRUPT)
@pytest.mark.parametrize("compare", [False, True])
def test_an_interrupted_measurement_leaves_no_store(
    number: int, code: int, compare: bool, bundle_path: Path, tmp_path: Path
) -> None:
    command: list[str | Path] = ["bench", "response", bundle_path, "--rounds", "100000"]
    if compare:
        command = ["bench", "compare", bundle_path, bundle_path, "--stage", "response"]

    def has_stores(_: object) -> bool:
        return len(list(tmp_path.rglob("store.sqlite"))) == 1 + compare

    assert interrupt(command, number, tmp_path, has_stores) == code


_PARENT = """
import os, subprocess, sys
from pathlib import Path
from edgerec.bench.children import temporary_folder_of_children

def stop(*_):
    sys.exit(3)

import signal
signal.signal(int(sys.argv[1]), stop)
child = "import os, sys, tempfile, time; from edgerec.core.parent import die_with; die_with(int(sys.argv[1])); \\
print(os.getpid(), tempfile.mkdtemp(), flush=True); time.sleep(600)"
with temporary_folder_of_children():
    subprocess.Popen([sys.executable, "-c", child, str(os.getpid())]).wait()
"""


@pytest.mark.parametrize(("number", "_"), INTERRUPT)
def test_a_child_ends_with_its_parent_which_removes_the_files_of_both(number: int, _: int, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(int(number))],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        process, folder = parent.stdout.readline().split()
        child = psutil.Process(int(process))
        assert Path(folder).parent.parent == tmp_path
        parent.send_signal(number)
        assert parent.wait(60) == 3
        # Python does not end the children of a process that ends. The kernel does.
        child.wait(10)
    assert list(tmp_path.iterdir()) == []
