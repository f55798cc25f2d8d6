"""Folders made part by part that survive a kill: the work stands hidden beside the output until it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgerec.core.atomic import check_output, json_bytes, publish_folder, write_json
from edgerec.core.console import log
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.leftovers import discard, hidden_name, lock

JOB = "job.json"
FORMAT = 2
"""Of unfinished work. It is raised whenever a note changes what it says."""


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
        """The note of `part`, or None where it is not finished, or a file of it is gone or of another size."""
        try:
            stated = json.loads(self._note(part).read_bytes())
            sizes = {name: (self.path / name).stat().st_size for name in stated["files"]}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        note = stated.get("note")
        return note if sizes == stated["files"] and isinstance(note, dict) else None

    def finish(self, part: str, note: Mapping[str, Any], files: Iterable[Path] = ()) -> None:
        """State that `part` is written.

        Args:
            part: its name.
            note: what a resumed work needs to know of it, as JSON.
            files: of the output, by which the part is known to be whole.
        """
        sizes = {str(file.relative_to(self.path)): file.stat().st_size for file in files}
        write_json(self._note(part), {"note": dict(note), "files": sizes})

    def any_finished(self) -> bool:
        """Whether there is anything that should not be thrown away unasked."""
        return _unfinished(self._work) and any((self._work / "parts").glob("[!.]*.json"))

    def discard(self) -> None:
        """State that nothing of what is finished can be used: for input that has to change before work can go on."""
        for note in (self._work / "parts").glob("*.json"):
            note.unlink()

    def _note(self, part: str) -> Path:
        return self._work / "parts" / f"{part}.json"


def read_note(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file `path`; None where there is none, or it is damaged: then its work is done again."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


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

    When the block raises, ^C included, or the process is killed, the work stays to be resumed if a part was finished,
    and is removed, or taken over by the next who comes, if none was.

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
    job = {**job, "work_format": FORMAT}
    target = output.resolve()
    work = target.parent / hidden_name(target.name, kind)
    if resume and not _unfinished(work):
        raise FormatError(f"{kind}: there is no unfinished work {work} to resume: leave --resume out")
    with held(work, what=kind):
        folder = ResumableFolder(work)
        if resume:
            _check_job(work, kind, job)
            _make_folders(work)
        elif force or not folder.any_finished():
            _begin(work, job)
        else:
            raise OutputError(f"unfinished {kind} stand at {work}: go on with --resume, or begin anew with --force")
        try:
            yield folder
            _sweep(folder.path)
            publish_folder(folder.path, target)
        except BaseException:
            if folder.any_finished():
                log(f"{kind}: what is finished is kept in {work}; go on with --resume")
            else:
                shutil.rmtree(work, ignore_errors=True)
            raise
        discard(work, target)


@contextlib.contextmanager
def held(path: Path, *, what: str) -> Iterator[None]:
    """Make the folder `path` and hold it until the block ends or the process dies (flock(2)).

    Where the file system cannot lock, and on Windows, two processes are not kept apart.

    Raises:
        OutputError: another process holds it; `what` it makes stands in the text.
    """
    while True:
        _made(path, what)
        # Whoever held it before may remove the folder meanwhile.
        with contextlib.suppress(FileNotFoundError):
            try:
                handle = lock(path)
                break
            except BlockingIOError:
                raise OutputError(
                    f"another process makes {what} in {path}: wait for its end, or choose another --out"
                ) from None
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _made(path: Path, what: str) -> None:
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError:
        raise OutputError(
            f"{path}, where {what} should be made, is no folder: remove it, or choose another --out"
        ) from None


def _unfinished(work: Path) -> bool:
    """Whether `work` can be gone on with; without its output, what is left of it is of work that was published."""
    return (work / JOB).is_file() and (work / "output").is_dir()


def _sweep(folder: Path) -> None:
    """Remove what a kill left of files that were being written."""
    for entry in sorted(folder.rglob(".*"), reverse=True):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _begin(work: Path, job: Mapping[str, Any]) -> None:
    """Empty `work`: notes first, so that none speaks of a file that is gone, and its job last, which says what it is"""
    order = {"parts": 0, JOB: 2}
    for entry in sorted(work.iterdir(), key=lambda entry: order.get(entry.name, 1)):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    _make_folders(work)
    write_json(work / JOB, dict(job))


def _make_folders(work: Path) -> None:
    for name in ("output", "parts", "scratch"):
        (work / name).mkdir(exist_ok=True)


def _check_job(work: Path, kind: str, job: Mapping[str, Any]) -> None:
    try:
        begun = (work / JOB).read_bytes()
    except OSError as error:
        raise FormatError(f"{kind}: {work / JOB} cannot be read ({error}): begin anew with --force") from None
    if begun != json_bytes(dict(job)):
        raise FormatError(
            f"{kind}: the unfinished work {work} was begun with other settings or input, or by another "
            "version of EdgeRec: resume with those, or begin anew with --force"
        )
