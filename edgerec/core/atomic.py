"""Outputs that are there whole or not at all.

Everything is written beside its final name and renamed into place, so that a reader never sees a half-written file and
a kill leaves nothing under the final name (rename(2) is atomic within a file system). What a kill leaves beside it is
removed by the next one who writes that output (`edgerec.core.leftovers`).
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
ODD = "neither a file nor a folder"


def check_output(path: Path, *, force: bool = False, kind: str | None = None, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output that exists, before any work is done for it; remove what a kill left beside it.

    Args:
        path: the file or folder to write.
        force: replace what stands there, if it is of the same kind and holds nothing but what EdgeRec wrote.
        kind: of one of `edgerec.core.written.LAYOUTS`, or `FILE`; None is any kind of folder that EdgeRec writes.
        inputs: what the output is made from. They and the output must lie apart.

    Raises:
        InputError: the path of a folder is not UTF-8.
        OutputError: `path` exists and `force` is false, or it is something else than `force` may replace; or it lies in
            an input, or an input in it; or its parent cannot be made or written to.
    """
    if kind != FILE:
        check_utf8(path, what="output")
    try:
        check_apart(path, inputs)
        clear_leftovers(path.resolve())
        _check_free(path, force=force, kind=kind)
        parent = path.resolve().parent
    except (OSError, RuntimeError, ValueError) as error:  # a name too long or with a NUL, a link to itself
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"cannot write output {path} ({reason}): choose another name or place") from None
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {parent} for output {path.name}: {error.strerror}") from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {parent}: check its permissions or choose another output")


def check_apart(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that lies in one of `inputs`, or that has one in it. Links are followed.

    Raises:
        OutputError: the first such input.
    """
    given = list(inputs)
    check_outside(path, given)
    for source in given:
        if source.resolve().is_relative_to(path.resolve()):
            raise OutputError(f"output {path} holds {source}, which is read: choose another --out")


def check_outside(path: Path, others: Iterable[Path]) -> None:
    """Refuse an output that is, or lies in, one of `others`. Links are followed.

    Raises:
        OutputError: the first such place.
    """
    for other in others:
        if path.resolve() == other.resolve():
            raise OutputError(f"output {path} and {other} are one place: choose another one for the output")
        if path.resolve().is_relative_to(other.resolve()):
            raise OutputError(f"output {path} lies inside {other}: choose a place beside it")


def _check_free(path: Path, *, force: bool, kind: str | None) -> None:
    if path.exists():
        layout = layout_of(path) if path.is_dir() else None
        found = FILE if path.is_file() else ODD if not path.is_dir() else layout.kind if layout else None
        wanted = (kind,) if kind else tuple(each.kind for each in LAYOUTS.values())
        if found not in wanted:
            raise OutputError(
                f"output {path} exists already and is {_named(found)}, which even --force does not replace by "
                f"{_named(kind) if kind else 'what EdgeRec writes'}: choose another name, or remove it yourself"
            )
        if not force:
            raise OutputError(f"output {path} exists already: remove it, choose another name, or pass --force")
        foreign = layout.foreign(path) if layout else None
        if foreign is not None:
            raise OutputError(
                f"output {path} holds {foreign.relative_to(path)}, which EdgeRec did not write and --force does not "
                "remove: move it away, or choose another name"
            )
    elif path.is_symlink():
        raise OutputError(f"output {path} is a symbolic link to nothing: remove it or choose another name")


def check_document(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """As `check_output`, for the file of a document; `force` replaces nothing but such a file.

    Raises:
        OutputError: as `check_output`, or another kind of file stands there.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists() and not is_document(path):
        raise OutputError(f"output {path} exists already and is no document of EdgeRec's: choose another name")


def _named(kind: str | None) -> str:
    """A kind of output in a sentence."""
    if kind is None:
        return "a folder that EdgeRec did not write"
    return kind if kind in (ODD, "logs", "samples") else f"a {kind}"


@contextlib.contextmanager
def output_folder(
    path: Path, *, force: bool = False, kind: str | None = None, inputs: Iterable[Path] = ()
) -> Iterator[Path]:
    """Give a temporary folder beside `path` to write into; rename it to `path` when the block ends well.

    When the block raises, ^C included, the temporary folder is removed and `path` is as it was.

    Raises:
        OutputError: as `check_output`.
    """
    check_output(path, force=force, kind=kind, inputs=inputs)
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
    """`document` as JSON with sorted keys: equal documents give equal bytes.

    A path that is not UTF-8 has surrogates; they are written as the escapes that JSON has for them.
    """
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode(errors="backslashreplace")
