"""Outputs that are there whole or not at all.

Everything is written beside its final name and renamed into place, so that a reader never sees a half-written file and
a kill leaves nothing under the final name (rename(2) is atomic within a file system). What a kill leaves beside it is
removed by the next one who writes that output (`edgerec.core.leftovers`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgerec.core.errors import OutputError
from edgerec.core.leftovers import clear_leftovers, temporary_file, temporary_folder

HEADS = {
    "logs.json": "logs",
    "samples.json": "samples",
    "run.json": "run",
    "manifest.json": "bundle",
    "quickstart.json": "quickstart",
    "ablation.json": "ablation",
    "trace.json": "trace",
}
"""The documents at the head of the folders that EdgeRec writes, and the `kind` that each states."""
FILE = "file"
ODD = "neither a file nor a folder"


def check_output(path: Path, *, force: bool = False, kind: str | None = None) -> None:
    """Refuse an output that exists, before any work is done for it; remove what a kill left beside it.

    Args:
        path: the file or folder to write.
        force: replace what stands there, if it is of the same kind.
        kind: one of `HEADS`, or `FILE`; None is any kind of folder that EdgeRec writes.

    Raises:
        OutputError: `path` exists and `force` is false, or it is something else than `force` may replace; or its
            parent cannot be made or written to.
    """
    clear_leftovers(path.resolve())
    if path.exists():
        found, wanted = _kind(path), (kind,) if kind else tuple(HEADS.values())
        if found not in wanted:
            raise OutputError(
                f"output {path} exists already and is {_named(found)}, which even --force does not replace by "
                f"{_named(kind) if kind else 'what EdgeRec writes'}: choose another name"
            )
        if not force:
            raise OutputError(f"output {path} exists already: remove it, choose another name, or pass --force")
    if path.is_symlink() and not path.exists():
        raise OutputError(f"output {path} is a symbolic link to nothing: remove it or choose another name")
    parent = path.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {parent} for output {path.name}: {error.strerror}") from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {parent}: check its permissions or choose another output")


def _named(kind: str | None) -> str:
    """A kind of output in a sentence."""
    if kind is None:
        return "a folder that EdgeRec did not write"
    return kind if kind in (ODD, "logs", "samples") else f"a {kind}"


def _kind(path: Path) -> str | None:
    """What stands at `path`: `FILE`, a kind of folder that EdgeRec writes, or something else."""
    if path.is_file():
        return FILE
    if not path.is_dir():
        return ODD
    for name, kind in HEADS.items():
        try:
            document = json.loads((path / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(document, dict) and document.get("kind") == kind:
            return kind
    return None


@contextlib.contextmanager
def output_folder(path: Path, *, force: bool = False, kind: str | None = None) -> Iterator[Path]:
    """Give a temporary folder beside `path` to write into; rename it to `path` when the block ends well.

    When the block raises, ^C included, the temporary folder is removed and `path` is as it was.

    Raises:
        OutputError: as `check_output`.
    """
    check_output(path, force=force, kind=kind)
    target = path.resolve()
    with temporary_folder(target, "partial") as partial:
        partial.chmod(0o755)
        yield partial
        publish_folder(partial, target)


def publish_folder(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; what stood at `target` is set aside first and removed last.

    A kill between the two renames leaves the older output beside `target`; the next writer puts it back.
    """
    if not target.exists():
        partial.rename(target)
        return
    with temporary_folder(target, "old") as old:
        target.rename(old / target.name)
        # Where this fails, the end of the block puts the older one back.
        partial.rename(target)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` by way of a temporary file beside it."""
    with temporary_file(path) as partial:
        partial.write_bytes(data)
        partial.chmod(0o644)
        partial.replace(path)


def write_json(path: Path, document: Any) -> None:
    """Write `document` as `json_bytes` to `path`."""
    write_bytes(path, json_bytes(document))


def json_bytes(document: Any) -> bytes:
    """`document` as JSON with sorted keys: equal documents give equal bytes."""
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()
