"""The training loop: epochs of training steps, validation, early stopping, and their logs (section 3.3)."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgerec.core.console import log, progress
from edgerec.core.errors import TrainingError
from edgerec.core.parallel import cores
from edgerec.data.samples import TRAIN, VALIDATION, Samples
from edgerec.layers.kernels.form import Kernels, kernels_here
from edgerec.model.batches import Batch
from edgerec.model.checkpoints import WorkFolder
from edgerec.model.config import ResolvedConfig
from edgerec.model.evaluation import scored_batches, scorer_in_list
from edgerec.model.input_pipeline import Shuffling, ahead, epoch
from edgerec.model.optimizer import RowAdam
from edgerec.model.progress import Progress
from edgerec.model.reranker import Reranker
from edgerec.model.runs import weights_digest, writing
from edgerec.model.tally import Tally
from edgerec.model.train_step import train_step
from edgerec.model.workers import Workers

TrainStep = Callable[[Any, Any, Any], Any]
Stop = Callable[[Sequence[float]], bool]


class Board:
    """Writer of TensorBoard's event files into a folder. Without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._writer = folder, None
        if folder is not None:
            with writing(folder, then="train again"):
                self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, step: int, **values: float) -> None:
        if self._writer is not None and self._folder is not None:
            with writing(self._folder, then="train again"), self._writer.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
                self._writer.flush()


@dataclass(frozen=True)
class TrainingLoop:
    """The training of a model, epoch by epoch.

    Attributes:
        model: the model.
        optimizer: its optimizer.
        checkpoint: model and optimizer, as TensorFlow saves them.
        samples: the samples to train on.
        config: the settings.
        work: the folder that stores the results of each epoch.
        team: the workers that train together.
        board: the writer for TensorBoard.
        stop: see `train`.
        shapes: the shapes of the batches so far.
    """

    model: Reranker
    optimizer: RowAdam
    checkpoint: tf.train.Checkpoint
    samples: Samples
    config: ResolvedConfig
    work: WorkFolder
    team: Workers
    board: Board
    stop: Stop | None = None
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    def run(self) -> bool:
        """Train until the last epoch, until patience ends, or until `stop` returns true.

        Afterwards the work folder has the best weights.

        Returns:
            Whether `stop` has ended the training.
        """
        kernels: Kernels = "xla" if self.xla else kernels_here(xla=False)
        step = train_step(self.model, self.optimizer, self.config.listwise_weight, self.team, kernels)
        # These are the logits that training compares with clicks. For most rankers, they are those of `scorer`.
        score = scorer_in_list(self.model)
        so_far = self.work.so_far
        if self.team.chief:
            log(self._describe())
            if so_far.trained_from and not so_far.epoch:
                value = _validation_gauc(score, self.samples, 0)
                log(f"validation GAUC {value:.4f} before the first epoch: weights of {so_far.trained_from}")
            log("the first step takes longest: TensorFlow builds its graph")
        while not _complete(self.work.so_far, self.config):
            # A resumed training asks about its last complete epoch again, because it may have been killed before.
            if self.stop and self.work.rows and self.stop([row["validation_gauc"] for row in self.work.rows]):
                return True
            self._epoch(self.work.so_far, step, score)
        so_far = self.work.so_far
        if so_far.epoch < self.config.epochs and self.team.chief:
            waited = so_far.epoch - so_far.best_epoch
            log(f"stopped after epoch {so_far.epoch}: {waited} epochs without a better validation GAUC (`patience`)")
        return False

    @property
    def xla(self) -> bool:
        """Whether XLA compiles the kernels."""
        return kernels_here(xla=self.config.compiled) == "xla"

    @property
    def _requests(self) -> int:
        """The number of requests in an epoch."""
        split = self.samples.head.splits[TRAIN]
        return split.pages if self.config.one_per_page else split.requests

    @property
    def _steps(self) -> int:
        """The number of training steps in an epoch."""
        return -(-self._requests // self.config.batch_size)

    def _epoch(self, so_far: Progress, step: TrainStep, score: Callable[[Any], Any]) -> None:
        """Train one epoch, validate the model, and record the results."""
        number, start = so_far.epoch + 1, time.perf_counter()
        loss = self._train(number, step)
        trained = time.perf_counter() - start
        with _averaged(self.model, self.optimizer):
            value = _validation_gauc(score, self.samples, number)
            digest = weights_digest(self.model)
            self.team.check_equal(digest)
            best = value > so_far.best_gauc
            if best:
                self.work.save_best(self.model, number)
                so_far = so_far.model_copy(update={"best_gauc": value, "best_epoch": number, "best_digest": digest})
        seconds = time.perf_counter() - start
        so_far = so_far.model_copy(update={"epoch": number, "seconds": so_far.seconds + seconds})
        row = {
            "epoch": number,
            "loss": loss,
            "validation_gauc": value,
            "learning_rate": float(self.optimizer.learning_rate.numpy()),
            "requests_per_second": self._requests / trained,
            "seconds": seconds,
        }
        self.work.record(self.checkpoint, so_far, row)
        self.board.write(number * self._steps, loss=loss, validation_gauc=value)
        left = (self.config.epochs - number) * so_far.seconds / number
        if self.team.chief:
            log(
                f"epoch {number}/{self.config.epochs}  loss {loss:.4f}  validation GAUC {value:.4f}"
                f"{' (best)' if best else ''}  {row['requests_per_second']:.0f} requests/s"
                f"  {seconds:.0f} s{f', at most {left:.0f} s left' if left else ''}"
            )

    def _train(self, number: int, step: TrainStep) -> float:
        """Apply the training steps of epoch `number`. Return the mean loss over all exposed candidates."""
        config, start = self.config, time.perf_counter()
        # The seed depends on the epoch, so that a resumed training has the same batches and replaces the same IDs as a
        # training without the interruption.
        self.model.reseed(config.seed * 1000 + number)
        batches = epoch(
            self.samples,
            TRAIN,
            batch_size=config.batch_size,
            together=config.together,
            part=(self.team.index, self.team.count),
            shuffling=Shuffling(
                np.random.default_rng([config.seed, number]),
                candidates=config.shuffle_candidates,
                one_per_page=config.one_per_page,
            ),
        )
        losses: list[float] = []
        weights: list[float] = []
        since_new = 0

        def note() -> str:
            speed = len(losses) * config.batch_size / (time.perf_counter() - start)
            # A new shape of batch makes a step slow, because XLA compiles kernels for it.
            xla = f", {len(self.shapes)} batch shapes compiled (newest {since_new} steps ago)" if self.xla else ""
            return f"loss {np.mean(losses[-50:]):.4f}, {speed:.0f} requests/s{xla}" if losses else ""

        for done, batch in enumerate(progress(ahead(batches), what=f"epoch {number}", total=self._steps, note=note)):
            self.optimizer.learning_rate.assign(_learning_rate(config, number - 1 + done / self._steps))
            loss, exposed = _finite_loss(step, batch, number)
            losses.append(loss)
            since_new = since_new + 1 if batch.shape in self.shapes else 0
            self.shapes.add(batch.shape)
            weights.append(exposed)
            if done % 50 == 0:
                self.board.write((number - 1) * self._steps + done, batch_loss=loss)
        return float(np.average(losses, weights=weights))

    def _describe(self) -> str:
        """Describe the model, the samples and the hardware in one line. It is logged before the first epoch ends."""
        split, config, after = self.samples.head.splits[TRAIN], self.config, self.work.so_far.epoch
        per_page = (
            f"; each epoch reads one request of each of {self._requests:,} pages"
            if self._requests != split.requests
            else ""
        )
        gpus = len(tf.config.list_physical_devices("GPU"))
        threads = tf.config.threading.get_intra_op_parallelism_threads() or cores()
        where = f"{gpus} GPU{'s' * (gpus > 1)}" if gpus else f"CPU, {threads} thread{'s' * (threads > 1)}"
        compiles = (
            ", with XLA: each new shape of batch is compiled, so the first epoch takes longer" if self.xla else ""
        )
        continues = f"continues after epoch {after}, " if after else ""
        return (
            f"train {config.model}: {self.model.count_params():,} parameters; {split.requests:,} requests with "
            f"{split.exposures:,} shown candidates{per_page}; {continues}at most {config.epochs} epochs of "
            f"{self._steps:,} steps; {where}{compiles}"
        )


def _complete(so_far: Progress, config: ResolvedConfig) -> bool:
    """Return whether the training has had its last epoch, or its patience has ended.

    Patience ends no training while the learning rate still falls, because the last epochs of a decay often raise the
    validation GAUC after several epochs without a rise.
    """
    waited = so_far.epoch - so_far.best_epoch
    return so_far.epoch >= config.epochs or (so_far.epoch >= config.decay_epochs and waited >= config.patience)


@contextlib.contextmanager
def _averaged(model: Reranker, optimizer: RowAdam) -> Iterator[None]:
    """For the block, replace the weights by their running averages, if the optimizer has averages."""
    if not optimizer.averages:
        yield
        return
    own = [variable.numpy() for variable in model.trainable_variables]
    for variable, average in zip(model.trainable_variables, optimizer.averages, strict=True):
        variable.assign(average)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


def _finite_loss(step: TrainStep, batch: Batch, number: int) -> tuple[float, float]:
    """Apply one training step. Return the loss and the number of exposed candidates.

    Raises:
        TrainingError: the loss is not finite.
    """
    loss, exposed = (float(value) for value in step(batch.inputs, batch.label, batch.weight))
    if not math.isfinite(loss):
        raise TrainingError(f"training: the loss became {loss} in epoch {number}: {_advice(number)}")
    return loss, exposed


def _advice(number: int) -> str:
    # Once an epoch is recorded, the unfinished training can only be resumed with the same configuration.
    again = "train again" if number == 1 else "start again with --force, or end the training with --finish"
    return f"lower learning_rate or clip_norm and {again}"


def _learning_rate(config: ResolvedConfig, epochs: float) -> float:
    """Return the learning rate after a number of epochs. The number may have a fraction."""
    if not config.decay_epochs:
        return config.learning_rate
    done = min(epochs / config.decay_epochs, 1.0)
    return config.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def _validation_gauc(score: Callable[[Any], Any], samples: Samples, number: int) -> float:
    tally = Tally()
    for scored in scored_batches(score, samples, VALIDATION, what="validate"):
        if not np.isfinite(scored.logit).all():
            # If the last step of an epoch makes weights infinite or NaN, no loss of that epoch shows it.
            worst = scored.logit[~np.isfinite(scored.logit)][0]
            raise TrainingError(f"training: the scores became {worst} in epoch {number}: {_advice(number)}")
        tally.add(scored)
    return tally.user_sums().gauc
