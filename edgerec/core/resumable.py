"""Write a folder part by part, so that an interrupted command can be resumed.

Partial results are in a hidden folder next to the output (the work folder), until the output is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgerec.core.atomic import check_output, json_bytes, publish_folder, write_bytes, write_json
from edgerec.core.console import log
from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.hashing import sha256_bytes
from edgerec.core.leftovers import discard, hidden_name, lock

JOB = "job.json"
FORMAT = 2
"""Format number of the work folder. It changes whenever the content of notes changes."""
RESUME = "go on with --resume"
PARTIAL_RESULTS = "partial results"
_NAMED, _LONGEST = 3, 100
"""Number of differences that an error names, and of characters of a value in it."""

Work = TypeVar("Work")


class ResumableFolder:
    """A folder that is written part by part. `resumable_folder` makes it.

    The note of a part is a JSON file in the work folder. It is written after the files of the part. So a part with a
    note is complete, and a part without a note is written again. Other processes can write parts, too: they only need
    `path` and `finish`.

    Attributes:
        path: the folder for the files of the output, under their final names.
        scratch: a folder for temporary files.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self.path = work / "output"
        self.scratch = work / "scratch"

    def with_scratch(self, job: Mapping[str, Any]) -> ResumableFolder:
        """Return this folder with a scratch folder that only commands with an equal `job` use.

        On a cluster, a task of a command that was stopped may still run when the next command begins. The next command
        may have another job. Then the task finds no folder for its files.
        """
        own = ResumableFolder(self._work)
        own.scratch = self.scratch / sha256_bytes(json_bytes(job))[:16]
        own.scratch.mkdir(exist_ok=True)
        return own

    def finished(self, part: str) -> dict[str, Any] | None:
        """Return the note of `part`; None if it has no note, or one of its files is missing or has a wrong size."""
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
            note: JSON data about the part, which a resumed command reads.
            files: files of the output that belong to the part. `finished` checks their sizes.
        """
        sizes = {str(file.relative_to(self.path)): file.stat().st_size for file in files}
        write_json(self._note(part), {"note": dict(note), "files": sizes})

    def discard(self) -> None:
        """Mark all parts as unfinished. Call this if they are useless because the user has to change the input."""
        for note in (self._work / "parts").glob("*.json"):
            note.unlink()

    def _note(self, part: str) -> Path:
        return self._work / "parts" / f"{part}.json"


@dataclass(frozen=True)
class WorkFolders:
    """The work folders of one kind of output.

    Attributes:
        kind: kind of the output, for the names of the folders and for error texts.
        head: name of the file that describes the command. It is removed last.
        can_resume: returns whether a folder contains everything that is needed to resume.
        worth_keeping: returns whether a folder contains results. They are kept after an exception, and they are removed
            only with `force`.
    """

    kind: str
    head: str
    can_resume: Callable[[Path], bool]
    worth_keeping: Callable[[Path], bool]
    advice: Callable[[Path], str] = lambda _: RESUME
    """Returns what to do with the partial results in a folder, except to start again."""
    results: Callable[[Path], str] = lambda _: PARTIAL_RESULTS
    """Returns the name of what is kept in a folder."""
    busy: str = "wait until it ends, or choose another --out"
    """What to do if another process writes to the folder."""


@contextlib.contextmanager
def unfinished_work(
    output: Path, folders: WorkFolders, enter: Callable[[Path], Work], *, force: bool, resume: bool
) -> Iterator[Work]:
    """Make and lock the hidden folder ``.<name>.<kind>`` next to `output`, and yield the result of `enter`.

    The folder is removed if the block ends without an exception. If the block raises an exception, including
    KeyboardInterrupt, the folder is kept if it is worth keeping. A killed process leaves its folder. The next call
    resumes from this folder, or empties it.

    Args:
        output: the final output.
        folders: the work folders of this kind of output.
        enter: prepares the empty folder, or reads the partial results in it if `resume` is true.
        force: as in `resumable_folder`.
        resume: as in `resumable_folder`.

    Raises:
        OutputError, FormatError: as for `resumable_folder`.
    """
    worth_keeping, folder = folders.worth_keeping, work_path(output, folders.kind)
    if resume:
        _check_to_resume(folder, folders)
    with held(folder, busy=folders.busy):
        if not resume:
            if not force:
                _check_no_results(folder, folders)
            _empty(folder, last=folders.head)
        work = enter(folder)
        try:
            yield work
        except BaseException:
            if worth_keeping(folder):
                log(f"{folders.kind}: {folders.results(folder)} kept in {folder}: {folders.advice(folder)}")
            else:
                discard(folder, output.resolve())
            raise
        discard(folder, output.resolve())


def check_unfinished(output: Path, folders: WorkFolders, *, force: bool, resume: bool) -> None:
    """Check early what `unfinished_work` will check, before a command makes other preparations.

    Raises:
        OutputError, FormatError: as for `resumable_folder`.
    """
    folder = work_path(output, folders.kind)
    if resume:
        _check_to_resume(folder, folders)
    if folder.is_dir():
        with held(folder, busy=folders.busy):
            if not resume and not force:
                _check_no_results(folder, folders)


def _check_to_resume(folder: Path, folders: WorkFolders) -> None:
    if not folders.can_resume(folder):
        raise FormatError(
            f"{folders.kind}: {folder} cannot be resumed, because it has no {folders.head}: start again with --force"
            if folder.is_dir() and folders.worth_keeping(folder)
            else f"{folders.kind}: there are no partial results in {folder} to resume: leave out --resume"
        )


def _check_no_results(folder: Path, folders: WorkFolders) -> None:
    if folders.worth_keeping(folder):
        advice = f"{folders.advice(folder)}, or " if folders.can_resume(folder) else ""
        raise OutputError(f"{folders.kind}: partial results exist in {folder}: {advice}start again with --force")


def work_path(output: Path, kind: str) -> Path:
    """Return the path of the hidden folder with the partial results of `output`."""
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
    growing: str | None = None,
    upload: Callable[[Path], object] | None = None,
) -> Iterator[ResumableFolder]:
    """Yield a hidden folder for the parts of `output`. It becomes `output` if the block ends without an exception.

    Args:
        output: the folder to write.
        kind: a kind of `edgerec.core.written.LAYOUTS`. `force` only replaces folders of this kind.
        job: everything that determines the output, as JSON. A command can be resumed only with an equal job.
        force: replace `output`, and remove partial results unless `resume` is true.
        resume: continue with the partial results of an interrupted command.
        inputs: as in `check_output`.
        growing: a key of `job` whose value is a mapping. A resumed command may have more or fewer entries in it. The
            entries that it shares with the earlier commands have to be equal.
        upload: is called with the complete folder before it becomes `output`. If it raises, the folder stays, and a
            command with `resume` uploads it.

    Raises:
        OutputError: `output` exists and `force` is false; there are partial results and neither `force` nor `resume`
            is true; or another process is writing the output.
        FormatError: there is nothing to resume, or the partial results are those of another `job`.
    """
    check_output(output, force=force, kind=kind, inputs=inputs)
    stated: Mapping[str, Any] = {**job, "work_format": FORMAT}

    def enter(work: Path) -> ResumableFolder:
        all_of_it = _joined(work, kind, stated, growing=growing) if resume else stated
        for name in ("output", "parts", "scratch"):
            (work / name).mkdir(exist_ok=True)
        write_bytes(work / JOB, json_bytes(all_of_it))
        return ResumableFolder(work)

    with unfinished_work(output, resumable(kind), enter, force=force, resume=resume) as folder:
        yield folder
        # A killed process may have left temporary files.
        for entry in sorted(folder.path.rglob(".*"), reverse=True):
            remove(entry)
        if upload is not None:
            upload(folder.path)
        publish_folder(folder.path, output.resolve())


def resumable(kind: str) -> WorkFolders:
    """Return what is known of the work folders of `resumable_folder`."""
    return WorkFolders(kind, JOB, can_resume=_unfinished, worth_keeping=_any_finished)


@contextlib.contextmanager
def held(path: Path, *, busy: str = WorkFolders.busy) -> Iterator[None]:
    """Make the folder `path` and lock it until the block or the process ends (flock(2)).

    There is no lock on Windows and on file systems without locks.

    Args:
        path: the folder.
        busy: what to do if another process has locked the folder, for the error text.

    Raises:
        OutputError: another process has locked the folder, `path` is a file, or it cannot be made.
    """
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise OutputError(f"{path} should be a folder for partial results, but it is a file: remove it") from None
        except OSError as error:
            raise OutputError(f"{path} cannot be made ({error.strerror}): choose another --out") from None
        try:
            handle = lock(path)
            break
        except BlockingIOError:
            raise OutputError(f"another process writes to {path}: {busy}") from None
        except FileNotFoundError:
            # The process that had the lock has just removed the folder, so make it again.
            continue
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _unfinished(work: Path) -> bool:
    """Return whether `work` can be resumed. If it has no folder `output`, the output was published already."""
    return (work / JOB).is_file() and (work / "output").is_dir()


def _any_finished(work: Path) -> bool:
    return _unfinished(work) and any((work / "parts").glob("[!.]*.json"))


def _empty(work: Path, *, last: str) -> None:
    """Empty the work folder. Notes are removed first, so that no note names a missing file; `last` is removed last."""
    order = {"parts": 0, last: 2}
    for entry in sorted(work.iterdir(), key=lambda entry: order.get(entry.name, 1)):
        remove(entry)


def remove(entry: Path) -> None:
    """Remove a file, a link, or a folder with its content."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _joined(work: Path, kind: str, stated: Mapping[str, Any], *, growing: str | None) -> dict[str, Any]:
    """Return the job in the folder `work`, with the entries of the job `stated` that it lacks under `growing`.

    Raises:
        FormatError: the job cannot be read, or it differs from `stated`. The text names the first differences.
    """
    begun = read_object(work / JOB)
    if begun is None:
        raise FormatError(f"{kind}: {work / JOB} cannot be read: start again with --force")
    now = json.loads(json_bytes(stated))
    if growing is not None and isinstance(begun.get(growing), dict):
        begun[growing], now[growing] = {**now[growing], **begun[growing]}, {**begun[growing], **now[growing]}
    if begun != now:
        found = list(differences(begun, now))
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise FormatError(
            f"{kind}: the partial results in {work} come from other settings or input, or from another version of "
            f"EdgeRec ({'; '.join(found[:_NAMED])}{more}): resume with those, or start again with --force"
        )
    return begun


def differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield the values that differ between two JSON documents, for example ``split is test, now validation``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        yield f"{where} is {_brief(before)}, now {_brief(now)}"


def _brief(value: Any) -> str:
    """Return a JSON value as text, without what is too long for an error."""
    text = value if isinstance(value, str) else "not set" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
