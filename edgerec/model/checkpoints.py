"""The work folder of a training that goes on: how far it is, its checkpoint, its best weights, its history."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from pydantic import BaseModel, ConfigDict

from edgerec.core.atomic import write_bytes, write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, first_line
from edgerec.core.resumable import remove, unfinished_work, work_path
from edgerec.core.text_fields import PathText
from edgerec.model.config import TrainConfig
from edgerec.model.reranker import Reranker
from edgerec.model.runs import HISTORY, UNREADABLE, save_weights, weights_digest, writing

FORMAT = 1
PROGRESS = "progress.json"
CHECKPOINT = "checkpoint"
KIND = "training"


class Progress(BaseModel):
    """`progress.json`: what a resumed training goes on from. It alone says which of the other files count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    config: TrainConfig
    samples: PathText
    epoch: int = 0
    best_epoch: int = 0
    best_gauc: float = -1.0
    best_digest: str = ""
    """Of the weights of the best epoch."""
    seconds: float = 0.0


class WorkFolder:
    """An unfinished training; `work_folder` makes one.

    Files are named for their epoch and come before the progress that points to them; those of earlier epochs go after
    it. So a training that is stopped at any moment has, whole, what its progress names.

    Attributes:
        path: the folder.
        so_far: what `progress.json` says.
    """

    def __init__(self, path: Path, so_far: Progress) -> None:
        self.path = path
        self.so_far = so_far
        self._rows: list[dict[str, Any]] = []

    def restore(self, model: Reranker, checkpoint: tf.train.Checkpoint) -> None:
        """Bring `checkpoint`, of which `model` is a part, to the end of the last whole epoch.

        Raises:
            FormatError: the checkpoint, the best weights or the history is missing or damaged.
        """
        if not self.so_far.epoch:
            return
        # Read now, so that damage is found before the remaining epochs and not after them.
        self.load_best(model)
        with self._reading():
            rows = [json.loads(line) for line in (self.path / HISTORY).read_text(encoding="utf-8").splitlines()]
            self._rows = rows[: self.so_far.epoch]
            if [row["epoch"] for row in self._rows] != list(range(1, self.so_far.epoch + 1)):
                raise ValueError(f"{HISTORY} lacks epochs")
            checkpoint.read(str(self._checkpoint(self.so_far.epoch))).assert_consumed()

    def load_best(self, model: Reranker) -> None:
        """Give `model` the weights of the best epoch.

        Raises:
            FormatError: they are missing or damaged.
        """
        with self._reading():
            model.load_weights(self._best(self.so_far.best_epoch))
            if weights_digest(model) != self.so_far.best_digest:
                raise ValueError(f"{self._best(self.so_far.best_epoch).name} holds other weights")

    def save_best(self, model: Reranker, number: int) -> None:
        """Write the weights of epoch `number`; they count from the next `record` that names them.

        Raises:
            OutputError: they cannot be written.
        """
        # Keras asks for this ending.
        aside = self.path / "new.weights.h5"
        with self._writing():
            save_weights(model, aside)
            os.replace(aside, self._best(number))

    def record(self, checkpoint: tf.train.Checkpoint, so_far: Progress, row: dict[str, Any]) -> None:
        """Make an epoch durable: checkpoint, then history, then the progress that counts, then the old files go.

        Raises:
            OutputError: one of them cannot be written; the epoch before still counts.
        """
        rows = [*self._rows, row]
        with self._writing():
            (self.path / CHECKPOINT).mkdir(exist_ok=True)
            checkpoint.write(str(self._checkpoint(so_far.epoch)))
            write_bytes(self.path / HISTORY, "".join(json.dumps(each) + "\n" for each in rows).encode())
            write_json(self.path / PROGRESS, so_far.model_dump(mode="json"))
        self.so_far, self._rows = so_far, rows
        for old in (self.path / CHECKPOINT).glob("epoch-*"):
            if not old.name.startswith(f"{self._checkpoint(so_far.epoch).name}."):
                remove(old)
        for old in self.path.glob("best-*"):
            if old != self._best(so_far.best_epoch):
                remove(old)

    def _checkpoint(self, number: int) -> Path:
        return self.path / CHECKPOINT / f"epoch-{number}"

    def _best(self, number: int) -> Path:
        return self.path / f"best-{number}.weights.h5"

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return writing(self.path, then="go on with --resume" if self.so_far.epoch else "train again")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        # TensorFlow adds these for checkpoints: no file, an index cut short, another model's variables.
        except (*UNREADABLE, IndexError, AssertionError, tf.errors.OpError) as error:
            raise FormatError(
                f"training: the unfinished training {self.path} is damaged ({first_line(error)}): "
                "begin anew with --force"
            ) from None


class Follower(WorkFolder):
    """The same folder to a worker that does not write: what it would record, it remembers."""

    def save_best(self, model: Reranker, number: int) -> None:
        """Nothing: the first worker does it."""

    def record(self, checkpoint: tf.train.Checkpoint, so_far: Progress, row: dict[str, Any]) -> None:
        """Remember how far the training is."""
        self.so_far = so_far


def follow(output: Path, config: TrainConfig, samples: str, *, resume: bool) -> Follower:
    """The work folder of `output` that the first worker holds, for the others.

    Raises:
        FormatError: the training was begun with another configuration or samples, or is not to be seen from here.
    """
    path = work_path(output, KIND)
    return Follower(path, _read(path, config, samples) if resume else Progress(config=config, samples=samples))


@contextlib.contextmanager
def work_folder(output: Path, config: TrainConfig, samples: str, *, force: bool, resume: bool) -> Iterator[WorkFolder]:
    """Give the hidden folder ``.<name>.training`` beside `output` to train in (see `unfinished_work`).

    It is worth keeping as soon as an epoch is recorded.

    Raises:
        OutputError: an unfinished training stands there and neither `force` nor `resume` is true, or one is running
            there, or the folder cannot be written.
        FormatError: there is no unfinished training to resume, or it was begun with another configuration or samples.
    """

    def enter(path: Path) -> WorkFolder:
        if resume:
            return WorkFolder(path, _read(path, config, samples))
        work = WorkFolder(path, Progress(config=config, samples=samples))
        with work._writing():
            write_json(path / PROGRESS, work.so_far.model_dump(mode="json"))
        return work

    with unfinished_work(
        output,
        kind=KIND,
        head=PROGRESS,
        force=force,
        resume=resume,
        can_resume=_has_progress,
        worth_keeping=_worth_keeping,
        enter=enter,
    ) as work:
        yield work


def has_progress(output: Path) -> bool:
    """Whether a training of the run `output` was stopped after an epoch."""
    path = work_path(output, KIND)
    return _has_progress(path) and _worth_keeping(path)


def _has_progress(path: Path) -> bool:
    return (path / PROGRESS).is_file()


def _read(path: Path, config: TrainConfig, samples: str) -> Progress:
    try:
        so_far = read_document(path / PROGRESS, Progress, what="training", format_number=FORMAT)
    except FormatError as error:
        raise FormatError(
            f"training: the unfinished training {path} cannot be resumed ({error}): begin anew with --force"
        ) from None
    if so_far.config != config or so_far.samples != samples:
        raise FormatError(
            f"training: {path} was begun with another configuration or other samples ({so_far.samples}): "
            "resume with those, or begin anew with --force"
        )
    return so_far


def _worth_keeping(path: Path) -> bool:
    """Whether `path` holds what should not be thrown away unasked: an epoch, or what is not plainly less than one."""
    if not (path / PROGRESS).exists():
        # A kill before the first progress was in place leaves at most its temporary file.
        return any(not entry.name.startswith(f".{PROGRESS}.") for entry in path.iterdir())
    try:
        return read_document(path / PROGRESS, Progress, what="training", format_number=FORMAT).epoch > 0
    except FormatError:
        return True
