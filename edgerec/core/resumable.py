"""Folders made part by part that survive a kill: the work stands hidden beside the output until it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edgerec.core.atomic import check_output, json_bytes, publish_folder, write_bytes, write_json
from edgerec.core.console import log
from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.leftovers import discard, hidden_name, lock

JOB = "job.json"
FORMAT = 2
"""Of unfinished work. It is raised whenever a note changes what it says."""


Work = TypeVar("Work")


class ResumableFolder:
    """Work on a folder that is not whole yet; `resumable_folder` makes one.

    A part's files come first, its note last: what has a note is whole, what has none is written again. Whoever writes a
    part, be it another process, needs no more than `path` and `finish`.

    Attributes:
        path: where the output's files are written, under the names that they will keep.
        scratch: for what is needed on the way alone.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self.path = work / "output"
        self.scratch = work / "scratch"

    def finished(self, part: str) -> dict[str, Any] | None:
        """Return the note of `part`; None if it is not finished, or a file of it is gone or has another size."""
        stated = read_object(self._note(part))
        try:
            if stated and all((self.path / name).stat().st_size == size for name, size in stated["files"].items()):
                return dict(stated["note"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        return None

    def finish(self, part: str, note: Mapping[str, Any], files: Iterable[Path] = ()) -> None:
        """State that `part` is written.

        Args:
            part: its name.
            note: what a resumed work needs to know of it, as JSON.
            files: of the output, by which the part is known to be whole.
        """
        sizes = {str(file.relative_to(self.path)): file.stat().st_size for file in files}
        write_json(self._note(part), {"note": dict(note), "files": sizes})

    def discard(self) -> None:
        """State that nothing of what is finished can be used: for input that has to change before work can go on."""
        for note in (self._work / "parts").glob("*.json"):
            note.unlink()

    def _note(self, part: str) -> Path:
        return self._work / "parts" / f"{part}.json"


@contextlib.contextmanager
def unfinished_work(
    output: Path,
    *,
    kind: str,
    head: str,
    force: bool,
    resume: bool,
    can_resume: Callable[[Path], bool],
    worth_keeping: Callable[[Path], bool],
    enter: Callable[[Path], Work],
) -> Iterator[Work]:
    """Give the hidden folder ``.<name>.<kind>`` beside `output` to work in, and hold it against other processes.

    The folder is removed when the block ends well. When the block raises, ^C included, it stays if it is worth keeping.
    What a killed process left is resumed, or taken over if it is not worth keeping.

    Args:
        output: what the work is for.
        kind: what the work makes, for the folder's name and for errors.
        head: the file of the folder that says what the work is. It is removed last.
        force, resume: as in `resumable_folder`.
        can_resume: whether the work in a folder can be continued.
        worth_keeping: whether a folder holds something that should not be removed unasked.
        enter: begins in the empty folder, or continues if `resume` is true; returns what the block works with.

    Raises:
        OutputError, FormatError: as `resumable_folder`.
    """
    folder = work_path(output, kind)
    if resume and not can_resume(folder):
        raise FormatError(
            f"{kind}: the unfinished work {folder} has no {head}: begin anew with --force"
            if folder.is_dir() and worth_keeping(folder)
            else f"{kind}: there is no unfinished work {folder} to resume: leave --resume out"
        )
    with held(folder):
        if not resume:
            if worth_keeping(folder) and not force:
                go_on = "go on with --resume, or " if can_resume(folder) else ""
                raise OutputError(f"{kind}: unfinished work stands at {folder}: {go_on}begin anew with --force")
            _empty(folder, last=head)
        work = enter(folder)
        try:
            yield work
        except BaseException:
            if worth_keeping(folder):
                log(f"{kind}: what is finished is kept in {folder}; go on with --resume")
            else:
                discard(folder, output.resolve())
            raise
        discard(folder, output.resolve())


def work_path(output: Path, kind: str) -> Path:
    """Return the hidden folder in which unfinished work on `output` stands."""
    target = output.resolve()
    return target.parent / hidden_name(target.name, kind)


@contextlib.contextmanager
def resumable_folder(
    output: Path,
    *,
    kind: str,
    job: Mapping[str, Any],
    force: bool,
    resume: bool,
    inputs: Iterable[Path] = (),
) -> Iterator[ResumableFolder]:
    """Give a hidden folder beside `output` to make its parts in; it becomes `output` when the block ends well.

    Args:
        output: the folder to write.
        kind: of one of `edgerec.core.written.LAYOUTS`; names the work and says what `force` may replace.
        job: all that the output follows from, as JSON: work is resumed for an equal one alone.
        force: replace `output`, and begin anew where unfinished work stands.
        resume: go on with unfinished work instead.
        inputs: as in `check_output`.

    Raises:
        OutputError: `output` exists and `force` is false; unfinished work stands there and neither `force` nor `resume`
            is true; or another process is at it.
        FormatError: there is nothing to resume, or it was begun for another `job`.
    """
    check_output(output, force=force, kind=kind, inputs=inputs)
    stated = json_bytes({**job, "work_format": FORMAT})

    def enter(work: Path) -> ResumableFolder:
        if resume:
            _check_job(work, kind, stated)
        for name in ("output", "parts", "scratch"):
            (work / name).mkdir(exist_ok=True)
        if not resume:
            write_bytes(work / JOB, stated)
        return ResumableFolder(work)

    with unfinished_work(
        output,
        kind=kind,
        head=JOB,
        force=force,
        resume=resume,
        can_resume=_unfinished,
        worth_keeping=_any_finished,
        enter=enter,
    ) as folder:
        yield folder
        # A kill may have left files that were being written.
        for entry in sorted(folder.path.rglob(".*"), reverse=True):
            remove(entry)
        publish_folder(folder.path, output.resolve())


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Make the folder `path` and hold it until the block ends or the process dies (flock(2)).

    Where the file system cannot lock, and on Windows, two processes are not kept apart.

    Raises:
        OutputError: another process holds it, or a file stands there.
    """
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            handle = lock(path)
            break
        except FileExistsError:
            raise OutputError(f"{path}, a place for unfinished work, is no folder: remove it") from None
        except BlockingIOError:
            reason = f"another process works in {path}"
            raise OutputError(f"{reason}: wait for its end, or choose another --out") from None
        except FileNotFoundError:
            # Whoever held it before has removed the folder meanwhile.
            continue
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _unfinished(work: Path) -> bool:
    """Whether `work` can be continued. Without its output it is what is left of work that was published."""
    return (work / JOB).is_file() and (work / "output").is_dir()


def _any_finished(work: Path) -> bool:
    return _unfinished(work) and any((work / "parts").glob("[!.]*.json"))


def _empty(work: Path, *, last: str) -> None:
    """Empty `work`: notes first, so that none speaks of a file that is gone, and the file `last` last."""
    order = {"parts": 0, last: 2}
    for entry in sorted(work.iterdir(), key=lambda entry: order.get(entry.name, 1)):
        remove(entry)


def remove(entry: Path) -> None:
    """Remove a file, a link, or a folder with what is in it."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _check_job(work: Path, kind: str, stated: bytes) -> None:
    try:
        begun = (work / JOB).read_bytes()
    except OSError as error:
        raise FormatError(f"{kind}: {work / JOB} cannot be read ({error}): begin anew with --force") from None
    if begun != stated:
        raise FormatError(
            f"{kind}: the unfinished work {work} was begun with other settings or input, or by another version of "
            "EdgeRec: resume with those, or begin anew with --force"
        )
