"""What an unfinished training has reached: `progress.json` in its work folder. This needs no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError
from edgerec.core.resumable import PARTIAL_RESULTS, RESUME, WorkFolders, work_path
from edgerec.core.text_fields import PathText
from edgerec.model.config import ResolvedConfig

FORMAT = 1
PROGRESS = "progress.json"
KIND = "training"


class Progress(BaseModel):
    """The content of `progress.json`, from which a resumed training continues. It says which other files are valid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    config: ResolvedConfig
    samples: PathText
    digest: str = ""
    """See `Samples.digest`. Earlier versions did not write it."""
    trained_from: str | None = None
    """See `RunHead.trained_from`."""
    epoch: int = 0
    best_epoch: int = 0
    best_gauc: float = -1.0
    best_digest: str = ""
    """Digest of the weights of the best epoch."""
    seconds: float = 0.0


def training_folders() -> WorkFolders:
    """Return what is known of the work folders of trainings."""
    return WorkFolders(
        KIND,
        PROGRESS,
        can_resume=has_progress_file,
        worth_keeping=_worth_keeping,
        advice=_advice,
        results=_epochs,
        busy="this training is still running. Wait until it ends, or stop it with ^C, which keeps its complete epochs; "
        "then --finish makes the best epoch the run",
    )


def _advice(path: Path) -> str:
    # `--finish` cannot end a training of an ablation or of a search, which is inside another work folder.
    inner = any(re.fullmatch(r"\..+\.(ablation|tuning)", parent.name) for parent in path.parents)
    return RESUME if inner else f"{RESUME}, or make its best epoch the run with --finish"


def _epochs(path: Path) -> str:
    """Return which epochs are kept in the folder `path`."""
    try:
        complete = _read(path).epoch
    except FormatError:
        return PARTIAL_RESULTS
    return "epoch 1" if complete == 1 else f"epochs 1 to {complete}"


def has_progress(output: Path) -> bool:
    """Return whether there is an unfinished training of the run `output` that must be kept."""
    path = work_path(output, KIND)
    return has_progress_file(path) and _worth_keeping(path)


def has_progress_file(path: Path) -> bool:
    """Return whether the work folder `path` has a progress."""
    return (path / PROGRESS).is_file()


def read_progress(path: Path) -> Progress:
    """Read the progress in the work folder `path`.

    Raises:
        FormatError: it is missing or not valid.
    """
    try:
        return _read(path)
    except FormatError as error:
        raise FormatError(
            f"training: the unfinished training {path} cannot be resumed ({error}): start again with --force"
        ) from None


def read_same(path: Path, start: Progress) -> Progress:
    """Read the progress, and check that the training was started with the settings, samples and run of `start`."""
    so_far = read_progress(path)
    if so_far.samples != start.samples:
        raise FormatError(
            f"training: {path} was started with other samples: use those in {so_far.samples}, or start again with "
            "--force"
        )
    check_digest(path, so_far, start.digest)
    if so_far.trained_from != start.trained_from:
        origin = "without --from" if so_far.trained_from is None else f"from the run {so_far.trained_from}"
        raise FormatError(
            f"training: {path} was started {origin}: resume it in the same way, or start again with --force"
        )
    before, now = so_far.config.model_dump(), start.config.model_dump()
    other = [f"{name} {before[name]}, now {now[name]}" for name in before if before[name] != now[name]]
    if other:
        raise FormatError(
            f"training: {path} was started with another configuration ({'; '.join(other)}): resume with the same one, "
            "make its best epoch the run with --finish, or start again with --force"
        )
    return so_far


def check_digest(path: Path, so_far: Progress, digest: str) -> None:
    """Check that the samples have the same content as at the start of the training."""
    if so_far.digest and so_far.digest != digest:
        raise FormatError(
            f"training: {path} was started with other samples: those in {so_far.samples} were replaced since then. "
            "Restore them, or start again with --force"
        )


def _worth_keeping(path: Path) -> bool:
    """Return whether the folder `path` must be kept, because it has, or may have, a finished epoch."""
    if not (path / PROGRESS).exists():
        # A process that was killed before it wrote the first progress leaves at most the temporary file of it.
        return any(not entry.name.startswith(f".{PROGRESS}.") for entry in path.iterdir())
    try:
        return _read(path).epoch > 0
    except FormatError:
        return True


def _read(path: Path) -> Progress:
    return read_document(path / PROGRESS, Progress, what="training", format_number=FORMAT)
