"""Temporary files and folders beside an output, and how the next writer removes what a killed process left.

Each has a name of the form ``.NAME.edgerec-PURPOSE-xxxxxxxx``, which nothing else writes (a digest stands for a long
name), and is locked by its process (flock(2)). The lock ends with the process: what has such a name and is not locked
is a leftover. Where a file system
cannot lock, and on Windows, leftovers stay.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from edgerec.core.hashing import sha256_bytes

Purpose = Literal["partial", "old", "done", "parts", "import"]
"""`partial`: an output that is being written. `old`: the output that it replaces. `done`: finished work that is being
removed. `parts`: rows sorted by user. `import`: the input of an import in a form that is quick to read."""
_PURPOSES = "partial|old|done|parts|import"
LONGEST_NAME = 200
"""Bytes of an output's name that stand in the names of what lies beside it: with what is added they stay below 255, the
longest that file systems take."""


def hidden_name(name: str, suffix: str) -> str:
    """The name of what stands hidden beside the output `name`: ``.name.suffix``; a digest where `name` is long."""
    raw = os.fsencode(name)
    return f".{name if len(raw) <= LONGEST_NAME else sha256_bytes(raw)[:32]}.{suffix}"


def lock(path: Path) -> int | None:
    """Open the file or folder `path` and lock it; the lock ends when the handle is closed or the process ends.

    Returns:
        The handle, or None where the file system cannot lock.

    Raises:
        BlockingIOError: another handle has the lock.
        FileNotFoundError: `path` is gone.
        OSError: `path` cannot be opened.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    # A link or a pipe of that name is not ours.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock before may have removed `path` meanwhile: then this is the lock of another file.
        if not os.path.samestat(os.fstat(handle), path.stat()):
            raise FileNotFoundError(path)
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


@contextlib.contextmanager
def temporary_folder(target: Path, purpose: Purpose) -> Iterator[Path]:
    """Give a new folder beside `target`; it is removed when the block ends, if it is still there.

    Of the purpose `old`, an entry named like `target` is put back first where nothing stands at `target`.

    Raises:
        OSError: it cannot be made.
    """
    clear_leftovers(target)
    folder, handle = _locked(lambda: tempfile.mkdtemp(prefix=_prefix(target, purpose), dir=target.parent))
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            _remove(folder, target)
        _unlock(handle)


@contextlib.contextmanager
def temporary_file(target: Path) -> Iterator[Path]:
    """Give a new empty file beside `target`; it is removed when the block ends, if it is still there.

    Raises:
        OSError: it cannot be made.
    """

    def make() -> str:
        handle, name = tempfile.mkstemp(prefix=_prefix(target, "partial"), dir=target.parent)
        os.close(handle)
        return name

    file, handle = _locked(make)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
        _unlock(handle)


def discard(folder: Path, target: Path) -> None:
    """Remove the work folder `folder` of the output `target`.

    It is renamed first, so that a kill on the way leaves no folder that looks like unfinished work.
    """
    done = target.parent / f"{_prefix(target, 'done')}{secrets.token_hex(4)}"
    with contextlib.suppress(OSError):
        folder = folder.rename(done)
    shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`; put an output back that one of them had set aside."""
    named = re.compile(rf"{re.escape(hidden_name(target.name, 'edgerec-'))}(?:{_PURPOSES})-[a-z0-9_]{{8}}")
    try:
        found = [entry for entry in target.parent.iterdir() if named.fullmatch(entry.name)]
    except OSError:
        return
    for entry in found:
        # Another process has it or has just removed it, or it is not ours to remove.
        with contextlib.suppress(OSError):
            handle = lock(entry)
            if handle is None:
                continue
            try:
                _remove(entry, target)
            finally:
                _unlock(handle)


def _remove(entry: Path, target: Path) -> None:
    aside = entry / target.name
    if entry.name.startswith(_prefix(target, "old")) and aside.exists() and not target.exists():
        aside.rename(target)
    if entry.is_dir():
        # Another process may have taken it for a leftover, or it was renamed to `target`.
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _prefix(target: Path, purpose: Purpose) -> str:
    return hidden_name(target.name, f"edgerec-{purpose}-")


def _locked(make: Callable[[], str]) -> tuple[Path, int | None]:
    """What `make` makes, with the handle of its lock."""
    while True:
        path = Path(make())
        # Between the two, another process may take it for a leftover.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            return path, lock(path)


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)
