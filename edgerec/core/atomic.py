"""Outputs that are there whole or not at all.

Everything is written beside its final name and renamed into place, so that a reader never sees a half-written file and
a kill leaves nothing under the final name (rename(2) is atomic within a file system).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgerec.core.errors import OutputError

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
    """Refuse an output that exists, before any work is done for it.

    Args:
        path: the file or folder to write.
        force: replace what stands there, if it is of the same kind.
        kind: one of `HEADS`, or `FILE`; None is any kind of folder that EdgeRec writes.

    Raises:
        OutputError: `path` exists and `force` is false, or it is something else than `force` may replace; or its
            parent cannot be made or written to.
    """
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
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    partial.chmod(0o755)
    try:
        yield partial
        publish_folder(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def publish_folder(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`; what stood at `target` is set aside first and removed last."""
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent)) / target.name
    try:
        if target.exists():
            target.rename(old)
        partial.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    finally:
        # Only a kill between the two renames leaves the old one here, whole.
        if target.exists():
            shutil.rmtree(old.parent, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` by way of a temporary file beside it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_json(path: Path, document: Any) -> None:
    """Write `document` as `json_bytes` to `path`."""
    write_bytes(path, json_bytes(document))


def json_bytes(document: Any) -> bytes:
    """`document` as JSON with sorted keys: equal documents give equal bytes."""
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()
