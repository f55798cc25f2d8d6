"""What the processes of a benchmark get from the process that starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory


@contextmanager
def temporary_folder_of_children() -> Iterator[None]:
    """Let all processes that are started in this block make their temporary files in one folder. Remove it afterwards.

    A process that is killed cannot remove its own files, so its parent does.
    """
    with TemporaryDirectory(prefix="edgerec-bench-") as folder, environment_of_children({"TMPDIR": folder}):
        yield


@contextmanager
def environment_of_children(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables in the environment of the processes that are started in this block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
