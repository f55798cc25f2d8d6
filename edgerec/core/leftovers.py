"""Make temporary files and folders beside an output, and remove those that a killed process left (leftovers).

Their names have the form ``.NAME.edgerec-PURPOSE-RANDOM``, which only EdgeRec uses. A long NAME is replaced by its
hash. The process that makes a temporary file locks it (flock(2)), and the lock ends with the process. So a file or
folder with such a name and without a lock is a leftover. Leftovers are not removed on Windows and on file systems
without locks.
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
"""`partial`: an output that is being written. `old`: the older output that it replaces. `done`: partial results
that are being removed. `parts`: rows sorted by user. `import`: the input of an import, in a form for quick reading."""
_PURPOSES = "partial|old|done|parts|import"
LONGEST_NAME = 200
"""Maximum length in bytes of an output's name that becomes part of a hidden name. The hidden name then stays below 255
bytes, the limit of file systems."""


def hidden_name(name: str, suffix: str) -> str:
    """Return the hidden name ``.name.suffix`` of a file beside the output `name`. A long `name` becomes its hash."""
    raw = os.fsencode(name)
    return f".{name if len(raw) <= LONGEST_NAME else sha256_bytes(raw)[:32]}.{suffix}"


def lock(path: Path) -> int | None:
    """Open the file or folder `path` and lock it. The lock ends when the handle is closed or the process ends.

    Returns:
        The handle, or None on Windows and on file systems without locks.

    Raises:
        BlockingIOError: another handle has the lock.
        FileNotFoundError: `path` does not exist, or it was removed before it was locked.
        OSError: `path` cannot be opened.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    # EdgeRec makes no link and no pipe with such a name. So do not follow a link, and do not wait for a pipe.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The process that had the lock before may have removed `path`. Then this lock is on a removed file.
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
def temporary_folder(target: Path, purpose: Purpose, *, clear: bool = True) -> Iterator[Path]:
    """Yield a new folder beside `target`. When the block ends, the folder is removed if it still exists.

    If the purpose is `old` and `target` does not exist, the older output in the folder is moved back to `target` first.

    Args:
        target: the output.
        purpose: what the folder is for.
        clear: call `clear_leftovers` first.

    Raises:
        OSError: the folder cannot be made.
    """
    if clear:
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
    """Yield a new empty file beside `target`. When the block ends, the file is removed if it still exists.

    Raises:
        OSError: the file cannot be made.
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
    """Remove `folder`, which contains partial results of the output `target`.

    The folder is renamed first. So if the process is killed during the removal, nobody resumes from what is left.
    """
    done = target.parent / f"{_prefix(target, 'done')}{secrets.token_hex(4)}"
    with contextlib.suppress(OSError):
        folder = folder.rename(done)
    shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers(target: Path) -> None:
    """Remove the files and folders beside `target` that processes left when they were killed.

    If such a process had moved an older output away, the output is moved back.
    """
    named = re.compile(rf"{re.escape(hidden_name(target.name, 'edgerec-'))}(?:{_PURPOSES})-[a-z0-9_]{{8}}")
    try:
        found = [entry for entry in target.parent.iterdir() if named.fullmatch(entry.name)]
    except OSError:
        return
    for entry in found:
        # Ignore errors: another process may have locked or removed the entry, or permissions may be missing.
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
        # The folder may be missing: another process removed it as a leftover, or it was renamed to `target`.
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _prefix(target: Path, purpose: Purpose) -> str:
    return hidden_name(target.name, f"edgerec-{purpose}-")


def _locked(make: Callable[[], str]) -> tuple[Path, int | None]:
    """Call `make`, lock the file or folder that it makes, and return its path and the handle of the lock."""
    while True:
        path = Path(make())
        # Before it is locked, another process may remove it as a leftover. Then make another one.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            return path, lock(path)


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)
