"""Replace several files of a folder together.

The new files are written first, under hidden names. Then a plan, which lists them, is written atomically. From then on
the change is decided: the files are renamed, and if the process is killed before the end, the next one that opens the
folder calls `finish_replacing`. Before the plan is there, a killed process has changed nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from edgerec.core.atomic import json_bytes, sync, write_bytes
from edgerec.core.documents import read_object
from edgerec.core.errors import OutputError
from edgerec.core.leftovers import hidden_name

PLAN = ".edgerec-replace.json"
"""The name of the plan within the folder."""
_SUFFIX = "edgerec-new"


def staged(path: Path) -> Path:
    """Return the hidden path under which the file that will replace `path` is written."""
    return path.with_name(hidden_name(path.name, _SUFFIX))


def clear_staged(folder: Path) -> None:
    """Remove the new files that a killed process left in `folder` before its change was decided."""
    for file in folder.rglob(f".*.{_SUFFIX}"):
        file.unlink(missing_ok=True)


def decide(folder: Path, files: Iterable[Path], note: Mapping[str, Any] | None = None) -> None:
    """Write the plan: each of `files` gets the content of its staged file. From here on, the change happens.

    Args:
        folder: the folder.
        files: the files within it.
        note: what else belongs to the change, as JSON. `planned` returns it.

    Raises:
        OutputError: the plan cannot be written. Then nothing has changed.
    """
    files = list(files)
    try:
        for file in files:
            sync(staged(file))
        names = [file.relative_to(folder).as_posix() for file in files]
        for each in {file.parent for file in files}:
            sync(each)
        plan = {"format": 1, "replace": names, "note": dict(note or {})}
        write_bytes(folder / PLAN, json_bytes(plan), durable=True)
    except OSError as error:
        raise OutputError(f"cannot write into {folder} ({error.strerror}): free some space") from None


def planned(folder: Path) -> dict[str, Any] | None:
    """Return the note of the plan in `folder`; None if there is no plan."""
    document = read_object(folder / PLAN)
    note = None if document is None else document.get("note")
    return note if isinstance(note, dict) else None


def finish_replacing(folder: Path, *, keep_plan: bool = False) -> bool:
    """Rename what a plan in `folder` lists. Several processes may do so at once.

    Args:
        folder: the folder.
        keep_plan: leave the plan where it is, because something else has to happen before the change is complete.

    Returns:
        Whether there was a plan.

    Raises:
        OutputError: a file cannot be renamed, or the plan is not valid.
    """
    plan = folder / PLAN
    if not plan.exists():
        return False
    document = read_object(plan)
    names = None if document is None else document.get("replace")
    if not isinstance(names, list) or not all(isinstance(name, str) and _is_inside(name) for name in names):
        if not plan.exists():
            return False  # another process has finished the change meanwhile
        raise OutputError(f"{plan} is damaged: remove it, and repeat the command that wrote it")
    try:
        for name in names:
            # A file that was renamed before is no longer there.
            with contextlib.suppress(FileNotFoundError):
                staged(folder / name).replace(folder / name)
        for each in {(folder / name).parent for name in names}:
            sync(each)
        if not keep_plan:
            plan.unlink(missing_ok=True)
            sync(folder)
    except OSError as error:
        raise OutputError(
            f"{folder} is being changed, and the change cannot be completed ({error.strerror}): check its permissions"
        ) from None
    return True


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts) and "\0" not in name
