"""Write a folder part by part, so that interrupted work can be resumed.

The work is in a hidden folder next to the output until it is complete.
"""

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
"""Format number of unfinished work. It changes whenever the content of notes changes."""


Work = TypeVar("Work")


class ResumableFolder:
    """Unfinished work on a folder, made by `resumable_folder`.

    The files of a part are written first and its note last. So a part with a note is complete, and a part without one
    is written again. Other processes can write parts, too: they only need `path` and `finish`.

    Attributes:
        path: the folder for the files of the output, under their final names.
        scratch: a folder for temporary files of the work.
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
        """Mark `part` as finished.

        Args:
            part: name of the part.
            note: data about the part for resumed work, as JSON.
            files: files of the output that belong to the part. Their sizes are checked by `finished`.
        """
        sizes = {str(file.relative_to(self.path)): file.stat().st_size for file in files}
        write_json(self._note(part), {"note": dict(note), "files": sizes})

    def discard(self) -> None:
        """Mark all parts as unfinished, because the input has to change."""
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
    """Make and lock the hidden folder ``.<name>.<kind>`` next to `output`, and yield the result of `enter`.

    The folder is removed if the block ends without an exception. If the block raises, also KeyboardInterrupt, the
    folder stays if it is worth keeping. The folder of a killed process is resumed, or replaced if it is not worth
    keeping.

    Args:
        output: the output of the work.
        kind: kind of the output, for the name of the folder and for error texts.
        head: the file that describes the work. It is removed last.
        force: as in `resumable_folder`.
        resume: as in `resumable_folder`.
        can_resume: returns whether the work in a folder can be continued.
        worth_keeping: returns whether a folder must not be removed without `force`.
        enter: starts work in the empty folder, or continues it if `resume` is true. The block works with its result.

    Raises:
        OutputError, FormatError: as for `resumable_folder`.
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
    """Return the path of the hidden folder for unfinished work on `output`."""
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
    """Yield a hidden folder next to `output` for its parts. It becomes `output` if the block ends without an exception.

    Args:
        output: the folder to write.
        kind: a kind of `edgerec.core.written.LAYOUTS`. `force` only replaces folders of this kind.
        job: everything that determines the output, as JSON. Work is only resumed for an equal job.
        force: replace `output`, and start again if there is unfinished work.
        resume: continue unfinished work.
        inputs: as in `check_output`.

    Raises:
        OutputError: `output` exists and `force` is false; there is unfinished work and neither `force` nor `resume` is
            true; or another process works on the output.
        FormatError: there is nothing to resume, or the unfinished work has another `job`.
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
        # A killed process may have left temporary files.
        for entry in sorted(folder.path.rglob(".*"), reverse=True):
            remove(entry)
        publish_folder(folder.path, output.resolve())


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Make the folder `path` and lock it until the block or the process ends (flock(2)).

    There is no lock on Windows and on file systems without locks.

    Raises:
        OutputError: another process has locked the folder, or `path` is a file.
    """
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            handle = lock(path)
            break
        except FileExistsError:
            raise OutputError(f"{path} should be a folder for unfinished work, but it is a file: remove it") from None
        except BlockingIOError:
            reason = f"another process works in {path}"
            raise OutputError(f"{reason}: wait for its end, or choose another --out") from None
        except FileNotFoundError:
            # The process that had the lock has just removed the folder.
            continue
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _unfinished(work: Path) -> bool:
    """Return whether `work` can be continued. A folder without `output` remains from work that was published."""
    return (work / JOB).is_file() and (work / "output").is_dir()


def _any_finished(work: Path) -> bool:
    return _unfinished(work) and any((work / "parts").glob("[!.]*.json"))


def _empty(work: Path, *, last: str) -> None:
    """Empty `work`. Notes are removed first, so that no note names a missing file. The file `last` is removed last."""
    order = {"parts": 0, last: 2}
    for entry in sorted(work.iterdir(), key=lambda entry: order.get(entry.name, 1)):
        remove(entry)


def remove(entry: Path) -> None:
    """Remove a file, a link, or a folder with its content."""
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
