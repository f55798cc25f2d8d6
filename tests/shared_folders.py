"""Folders that all processes of a test run share.

pytest-xdist runs the tests in several worker processes, and each of them has its own session fixtures. A folder that
takes seconds to make (a trained run, a bundle) is made by the worker that needs it first. The others wait for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def shared_folder(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Iterator[Path]:
    """Yield the folder `name` of this test run. At the end, check that no test has changed it.

    Args:
        factory: the `tmp_path_factory` of the calling fixture.
        name: name of the folder, unique in the test run.
        make: a function that fills the given empty folder. It is called once in a test run.

    Raises:
        AssertionError: a test has changed the folder. Tests that write should write into a copy.
    """
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    root.mkdir(exist_ok=True)
    folder, made = root / name, root / f"{name}.made"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            # A worker that failed may have left some files.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.write_text(_state(folder))
    yield folder
    assert _state(folder) == made.read_text(), f"a test has changed the shared folder {name}: change a copy instead"


def _state(folder: Path) -> str:
    """Return a text with the size and the modification time of every file."""
    states = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return "".join(f"{path.relative_to(folder)} {state.st_size} {state.st_mtime_ns}\n" for path, state in states)
