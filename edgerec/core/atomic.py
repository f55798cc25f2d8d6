"""Write files and folders atomically: an output is either complete or missing.

Each output is written under a temporary name in the same folder and then renamed, because rename(2) is atomic within a
file system. So readers never see an incomplete file, even if the writer is killed. The next writer of the same output
removes what a killed writer left (`edgerec.core.leftovers`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgerec.core.errors import OutputError, first_line
from edgerec.core.leftovers import clear_leftovers, temporary_file, temporary_folder
from edgerec.core.text import check_utf8
from edgerec.core.written import LAYOUTS, is_document, layout_of

FILE = "file"
OTHER = "neither a file nor a folder"


def check_output(path: Path, *, force: bool = False, kind: str | None = None, inputs: Iterable[Path] = ()) -> None:
    """Check that `path` can be written, and remove temporary files that killed writers left. Call this before any work.

    Args:
        path: the file or folder to write.
        force: replace an existing output, if it has the same kind and contains only files that EdgeRec wrote.
        kind: a kind of `edgerec.core.written.LAYOUTS`, or `FILE`. None allows any kind of folder that EdgeRec writes.
        inputs: paths that are read to make the output. They must not overlap with it.

    Raises:
        InputError: the path of a folder is not UTF-8.
        OutputError: `path` exists and may not be replaced, it overlaps with an input, or its parent folder cannot be
            made or written.
    """
    if kind != FILE:
        check_utf8(path, what="output")
    try:
        check_no_overlap(path, inputs)
        clear_leftovers(path.resolve())
        _check_free(path, force=force, kind=kind)
        parent = path.resolve().parent
    except (OSError, RuntimeError, ValueError) as error:
        # The name is too long, it contains a null character, or `path` is a link to itself.
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"cannot write output {path} ({reason}): choose another name or folder") from None
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {parent} for output {path.name}: {error.strerror}") from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {parent}: check its permissions or choose another output")


def check_no_overlap(path: Path, inputs: Iterable[Path]) -> None:
    """Check that neither the output nor an input contains the other, and that they differ. Links are followed.

    Raises:
        OutputError: the output overlaps with an input. The text names the first one.
    """
    paths = list(inputs)
    check_outside(path, paths)
    for source in paths:
        if source.resolve().is_relative_to(path.resolve()):
            raise OutputError(f"output {path} contains the input {source}: choose another --out")


def check_outside(path: Path, others: Iterable[Path]) -> None:
    """Check that the output is not equal to one of `others` or inside it. Links are followed.

    Raises:
        OutputError: the output is equal to such a path or inside it. The text names the first one.
    """
    for other in others:
        if path.resolve() == other.resolve():
            raise OutputError(f"output {path} and {other} are the same: choose another output")
        if path.resolve().is_relative_to(other.resolve()):
            raise OutputError(f"output {path} is inside {other}: choose a path outside of it")


def _check_free(path: Path, *, force: bool, kind: str | None) -> None:
    if path.exists():
        layout = layout_of(path) if path.is_dir() else None
        existing = FILE if path.is_file() else OTHER if not path.is_dir() else layout.kind if layout else None
        replaceable = (kind,) if kind else tuple(each.kind for each in LAYOUTS.values())
        if existing not in replaceable:
            raise OutputError(
                f"output {path} exists already and is {_describe(existing)}; --force only "
                f"replaces {_describe(kind) if kind else 'folders that EdgeRec wrote'}: choose another name, or remove "
                "it yourself"
            )
        if not force:
            raise OutputError(f"output {path} exists already: remove it, choose another name, or pass --force")
        foreign = layout.foreign(path) if layout else None
        if foreign is not None:
            raise OutputError(
                f"output {path} contains {foreign.relative_to(path)}, which EdgeRec did not write and --force does not "
                "remove: move it away, or choose another name"
            )
    elif path.is_symlink():
        raise OutputError(
            f"output {path} is a symbolic link to a path that does not exist: remove it or choose another name"
        )


def check_document(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Do the checks of `check_output` for a JSON document. `force` only replaces documents that EdgeRec wrote.

    Raises:
        OutputError: as for `check_output`, or `path` is a file that EdgeRec did not write.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists() and not is_document(path):
        raise OutputError(f"output {path} exists already and is not a document of EdgeRec: choose another name")


def _describe(kind: str | None) -> str:
    """Return the name of a kind of output for an error text, with its article."""
    if kind is None:
        return "a folder that EdgeRec did not write"
    return kind if kind in (OTHER, "logs", "samples") else f"a {kind}"


@contextlib.contextmanager
def output_folder(
    path: Path, *, force: bool = False, kind: str | None = None, inputs: Iterable[Path] = ()
) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, and rename it to `path` when the block ends without an exception.

    If the block raises an exception, including KeyboardInterrupt, the temporary folder is removed and `path` does not
    change.

    Raises:
        InputError, OutputError: as for `check_output`.
    """
    check_output(path, force=force, kind=kind, inputs=inputs)
    target = path.resolve()
    with temporary_folder(target, "partial") as partial:
        partial.chmod(0o755)
        yield partial
        publish_folder(partial, target)


def publish_folder(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`. An older output at `target` is renamed first and removed at the end.

    If the process is killed between the two renames, the next writer restores the older output.
    """
    if not target.exists():
        partial.rename(target)
        return
    with temporary_folder(target, "old") as old:
        target.rename(old / target.name)
        # If this fails, `temporary_folder` restores the older output when it exits.
        partial.rename(target)


def write_bytes(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write `data` to `path` atomically. With `durable`, it is on disk when the function returns."""
    with temporary_file(path) as partial:
        partial.write_bytes(data)
        partial.chmod(0o644)
        if durable:
            sync(partial)
        partial.replace(path)
        if durable:
            sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on disk. Then they survive a power cut.

    On Windows nothing happens: a folder cannot be opened there.
    """
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, document: Any) -> None:
    """Write `document` as JSON to `path` atomically."""
    write_bytes(path, json_bytes(document))


def json_lines(rows: Iterable[Any]) -> bytes:
    """Return `rows` as JSON, with one line for each row."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()


def json_bytes(document: Any) -> bytes:
    """Return `document` as JSON with sorted keys, so that equal documents give equal bytes.

    In Python, a path that is not UTF-8 contains surrogates. They are written as JSON escapes.
    """
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode(errors="backslashreplace")
