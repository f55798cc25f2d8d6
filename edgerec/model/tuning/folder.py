"""The work folder of an unfinished search: its settings, its finished trials, and the run of the best trial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgerec.core.atomic import write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError
from edgerec.core.resumable import WorkFolders, remove, unfinished_work, work_path
from edgerec.core.text_fields import PathText
from edgerec.data.fitted_run import HEAD
from edgerec.model.config import ResolvedConfig
from edgerec.model.progress import has_progress
from edgerec.model.tuning.space import search_space
from edgerec.model.tuning.trials import (
    TRIALS,
    Trial,
    best_trial,
    check_settings,
    damaged,
    read_trials,
    write_trials,
)

FORMAT = 1
SEARCH = "search.json"
KIND = "tuning"
GO_ON = "go on with --tune N --resume"


class Search(BaseModel):
    """The content of `search.json`: everything that determines the trials, except their number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    version: str
    """The version of EdgeRec."""
    samples: PathText
    digest: str
    """See `Samples.digest`."""
    config: ResolvedConfig
    """The settings of the first trial."""
    fixed: list[str]
    """The settings that keep their value in all trials."""


class SearchFolder:
    """The folder of an unfinished search. `search_folder` creates one.

    A trial trains in `runs/NUMBER`. Then it is added to `trials.jsonl`, and of all runs only the best one is kept.

    Args:
        path: the folder.
        search: the content of its `search.json`.

    Attributes:
        path: the folder.
        trials: the finished trials.

    Raises:
        FormatError: the file of trials is damaged, or the run of the best trial is missing.
    """

    def __init__(self, path: Path, search: Search) -> None:
        self.path = path
        self.trials = read_trials(path / TRIALS)
        check_settings(self.trials, search_space(search.config, search.fixed), path / TRIALS)
        best = best_trial(self.trials)
        if best is not None and not (self.run(best.number) / HEAD).is_file():
            raise damaged(path / TRIALS, f"there is no run of its best trial {best.number}")
        (path / "runs").mkdir(exist_ok=True)
        self._clean()

    def run(self, number: int) -> Path:
        """Return the folder of the run of a trial."""
        return self.path / "runs" / str(number)

    def record(self, trial: Trial) -> None:
        """Add a finished trial, and remove its run or the run that was the best one before."""
        trials = [*self.trials, trial]
        write_trials(trials, self.path / TRIALS)
        self.trials = trials
        self._clean()

    def _clean(self) -> None:
        """Remove what finished trials have left, except the best run. Keep the run of an unfinished trial."""
        best, finished = best_trial(self.trials), {str(trial.number) for trial in self.trials}
        for entry in (self.path / "runs").iterdir():
            # A training that has failed, or was stopped, has a hidden folder ``.NUMBER.training``.
            number = entry.name.lstrip(".").split(".")[0]
            if number in finished and not (best and entry.name == str(best.number)):
                remove(entry)


@contextlib.contextmanager
def search_folder(output: Path, search: Search, *, force: bool, resume: bool) -> Iterator[SearchFolder]:
    """Yield the hidden folder ``.<name>.tuning`` beside `output` to search in (see `unfinished_work`).

    If the search fails, the folder is kept if a trial has a complete epoch, and removed otherwise.

    Raises:
        OutputError: there is an unfinished search and neither `force` nor `resume` is true, or another process is
            searching there.
        FormatError: there is no unfinished search to resume, or it was started with other settings or samples, or it is
            damaged.
    """

    def enter(path: Path) -> SearchFolder:
        if not resume:
            write_json(path / SEARCH, search.model_dump(mode="json"))
        elif _read(path) != search:
            raise FormatError(
                f"tuning: {path} was started with another configuration, with other samples or by another version of "
                "EdgeRec: resume with the same ones, or start again with --force"
            )
        return SearchFolder(path, search)

    with unfinished_work(output, search_folders(), enter, force=force, resume=resume) as folder:
        yield folder


@contextlib.contextmanager
def unfinished_search(output: Path, samples: str) -> Iterator[SearchFolder]:
    """Yield the work folder of the unfinished search for `output`, to end it. Then remove the folder.

    If the block raises an exception, the folder is kept.

    Raises:
        FormatError: it was started with other samples, or it is damaged.
        OutputError: another process is still searching.
    """

    def enter(path: Path) -> SearchFolder:
        search = _read(path)
        if search.samples != samples:
            raise FormatError(f"tuning: {path} was started with other samples: use those in {search.samples}")
        return SearchFolder(path, search)

    with unfinished_work(output, search_folders(), enter, force=False, resume=True) as folder:
        yield folder


def has_search(output: Path) -> bool:
    """Return whether there is an unfinished search for the run `output`."""
    return _has_search(work_path(output, KIND))


def search_folders() -> WorkFolders:
    """Return what is known of the work folders of searches."""
    return WorkFolders(
        KIND,
        SEARCH,
        can_resume=_has_search,
        worth_keeping=_worth_keeping,
        advice=_advice,
        busy="this search is still running. Wait until it ends, or stop it with ^C, which keeps its finished trials; "
        "then --finish makes the best trial the run",
    )


def _advice(path: Path) -> str:
    """Return what to do with the unfinished search in the folder `path`. Without a complete trial, it has no result."""
    try:
        complete = best_trial(read_trials(path / TRIALS)) is not None
    except FormatError:
        complete = False
    return f"{GO_ON}, or make the best trial the run with --finish" if complete else GO_ON


def _has_search(path: Path) -> bool:
    return (path / SEARCH).is_file()


def _read(path: Path) -> Search:
    return read_document(path / SEARCH, Search, what=KIND, format_number=FORMAT, advice="start again with --force")


def _worth_keeping(path: Path) -> bool:
    """Return whether the folder `path` must be kept, because it has, or may have, a complete epoch of a trial."""
    if not (path / SEARCH).exists():
        # A process that was killed before it wrote the first file leaves at most the temporary file of it.
        return any(not entry.name.startswith(f".{SEARCH}.") for entry in path.iterdir())
    first = path / "runs" / "1"
    return (path / TRIALS).exists() or (first / HEAD).is_file() or has_progress(first)
