"""The work folder of an unfinished training: its checkpoint, its best weights and its history."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from edgerec.core.atomic import json_lines, write_bytes, write_json
from edgerec.core.console import log
from edgerec.core.errors import FormatError, first_line
from edgerec.core.resumable import RESUME, remove, unfinished_work, work_path
from edgerec.data.fitted_run import HEAD
from edgerec.model.config import ResolvedConfig
from edgerec.model.progress import (
    KIND,
    PROGRESS,
    Progress,
    check_digest,
    has_progress_file,
    read_progress,
    read_same,
    training_folders,
)
from edgerec.model.reranker import Reranker
from edgerec.model.runs import HISTORY, UNREADABLE, save_weights, weights_digest, writing

CHECKPOINT = "checkpoint"


class WorkFolder:
    """The folder of an unfinished training. `work_folder` creates one.

    File names contain the epoch. The files of an epoch are written before the progress that names them, and the files
    of earlier epochs are removed after it. So if the training stops at any moment, all files that the progress names
    are complete.

    Attributes:
        path: the folder.
        so_far: the content of `progress.json`.
        rows: the history of the training, with one row for each complete epoch.
    """

    def __init__(self, path: Path, so_far: Progress) -> None:
        self.path = path
        self.so_far = so_far
        self.rows: list[dict[str, Any]] = []

    def restore(self, model: Reranker, checkpoint: tf.train.Checkpoint) -> None:
        """Restore `checkpoint`, which contains `model`, to the end of the last complete epoch.

        Raises:
            FormatError: the checkpoint, the best weights or the history is missing or damaged.
        """
        if not self.so_far.epoch:
            return
        # Load the best weights now, so that damage is found before the remaining epochs are trained.
        self.load_best(model)
        self.load_history()
        with self._reading():
            checkpoint.read(str(self._checkpoint(self.so_far.epoch))).assert_consumed()

    def load_history(self) -> None:
        """Load the rows of the complete epochs into `rows`.

        Raises:
            FormatError: the history is missing or damaged.
        """
        with self._reading():
            rows = [json.loads(line) for line in (self.path / HISTORY).read_text(encoding="utf-8").splitlines()]
            self.rows = rows[: self.so_far.epoch]
            if [row["epoch"] for row in self.rows] != list(range(1, self.so_far.epoch + 1)):
                raise ValueError(f"{HISTORY} does not have all epochs")

    def load_best(self, model: Reranker) -> None:
        """Load the weights of the best epoch into `model`.

        Raises:
            FormatError: they are missing or damaged.
        """
        with self._reading():
            model.load_weights(self._best(self.so_far.best_epoch))
            if weights_digest(model) != self.so_far.best_digest:
                raise ValueError(
                    f"{self._best(self.so_far.best_epoch).name} has other weights than those of the best epoch"
                )

    def save_best(self, model: Reranker, number: int) -> None:
        """Write the weights of epoch `number`. They are valid when `record` has written a progress that names them.

        Raises:
            OutputError: they cannot be written.
        """
        # Keras requires this ending.
        temporary = self.path / "new.weights.h5"
        with self._writing():
            save_weights(model, temporary)
            os.replace(temporary, self._best(number))

    def record(self, checkpoint: tf.train.Checkpoint, so_far: Progress, row: dict[str, Any]) -> None:
        """Record an epoch: write checkpoint, history and progress in this order, then remove the files of old epochs.

        Raises:
            OutputError: a file cannot be written. Then the progress is still that of the epoch before.
        """
        rows = [*self.rows, row]
        with self._writing():
            (self.path / CHECKPOINT).mkdir(exist_ok=True)
            checkpoint.write(str(self._checkpoint(so_far.epoch)))
            write_bytes(self.path / HISTORY, json_lines(rows))
            write_json(self.path / PROGRESS, so_far.model_dump(mode="json"))
        self.so_far, self.rows = so_far, rows
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
        return writing(self.path, then=RESUME if self.so_far.epoch else "train again")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        # TensorFlow raises the last three for checkpoints: no file, a truncated index, variables of another model.
        except (*UNREADABLE, IndexError, AssertionError, tf.errors.OpError) as error:
            raise FormatError(
                f"training: the unfinished training {self.path} is damaged ({first_line(error)}): "
                "start again with --force"
            ) from None


class Follower(WorkFolder):
    """The work folder for a worker that reads it but does not write. It keeps the progress in memory."""

    def save_best(self, model: Reranker, number: int) -> None:
        """Do nothing, because the first worker writes the weights."""

    def record(self, checkpoint: tf.train.Checkpoint, so_far: Progress, row: dict[str, Any]) -> None:
        """Remember the progress of the training."""
        self.so_far = so_far


def follow(
    output: Path,
    config: ResolvedConfig,
    samples: str,
    *,
    digest: str,
    resume: bool,
    trained_from: str | None = None,
) -> Follower:
    """Return the work folder of `output` for a worker that only reads it. The first worker writes it.

    Raises:
        FormatError: the training was started with another configuration, samples or run, or this worker cannot see the
            folder.
    """
    path = work_path(output, KIND)
    start = Progress(config=config, samples=samples, digest=digest, trained_from=trained_from)
    return Follower(path, read_same(path, start) if resume else start)


@contextlib.contextmanager
def work_folder(
    output: Path,
    config: ResolvedConfig,
    samples: str,
    *,
    digest: str,
    force: bool,
    resume: bool,
    trained_from: str | None = None,
) -> Iterator[WorkFolder]:
    """Yield the hidden folder ``.<name>.training`` beside `output` to train in (see `unfinished_work`).

    If the training fails, the folder is kept if an epoch is recorded, and removed otherwise.

    Args:
        output: the folder of the run.
        config: the settings.
        samples: the path of the samples.
        digest: see `Samples.digest`.
        force, resume: as in `train`.
        trained_from: see `RunHead.trained_from`.

    Raises:
        OutputError: there is an unfinished training and neither `force` nor `resume` is true, or another process is
            training there, or the folder cannot be written.
        FormatError: there is no unfinished training to resume, or it was started with another configuration, samples or
            run.
    """
    start = Progress(config=config, samples=samples, digest=digest, trained_from=trained_from)

    def enter(path: Path) -> WorkFolder:
        if resume:
            return WorkFolder(path, read_same(path, start))
        work = WorkFolder(path, start)
        with work._writing():
            write_json(path / PROGRESS, work.so_far.model_dump(mode="json"))
        return work

    with unfinished_work(output, training_folders(), enter, force=force, resume=resume) as work:
        try:
            yield work
        except (KeyboardInterrupt, SystemExit):
            if not work.so_far.epoch:
                log("training: no epoch of this training is complete, so nothing of it is kept")
            raise


@contextlib.contextmanager
def unfinished_training(output: Path, samples: str, *, digest: str) -> Iterator[WorkFolder]:
    """Yield the work folder of the unfinished training of `output`, to end it. Then remove the folder.

    If the block raises an exception, the folder is kept.

    Raises:
        FormatError: there is no unfinished training, it has no complete epoch, it was started with other samples, or it
            is damaged.
        OutputError: another process is still training.
    """

    def enter(path: Path) -> WorkFolder:
        so_far = read_progress(path)
        if not so_far.epoch:
            raise FormatError(f"training: the unfinished training {path} has no complete epoch: leave out --finish")
        if so_far.samples != samples:
            raise FormatError(f"training: {path} was started with other samples: use those in {so_far.samples}")
        check_digest(path, so_far, digest)
        work = WorkFolder(path, so_far)
        work.load_history()
        return work

    path = work_path(output, KIND)
    if not has_progress_file(path):
        if (output / HEAD).is_file():
            raise FormatError(f"training: the run {output} is complete: leave out --finish")
        raise FormatError(
            f"training: there is no unfinished training of {output}, because {path} has no {PROGRESS}: leave out "
            "--finish"
        )
    with unfinished_work(output, training_folders(), enter, force=False, resume=True) as work:
        yield work
