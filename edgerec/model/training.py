"""The training loop: cross-entropy over exposed candidates, early stopping (section 3.3, eq. 11)."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgerec.core.atomic import check_output, check_outside, output_folder
from edgerec.core.console import log, progress
from edgerec.core.errors import InputError, TrainingError
from edgerec.core.parallel import cores
from edgerec.core.text import check_utf8
from edgerec.data.samples import TRAIN, VALIDATION, Requests, Samples
from edgerec.model.baselines import exposed
from edgerec.model.batches import Batch, ahead, epoch
from edgerec.model.checkpoints import WorkFolder, follow, work_folder
from edgerec.model.config import TrainConfig
from edgerec.model.evaluation import accelerate, scored_batches, traced
from edgerec.model.losses import cross_entropy, listwise
from edgerec.model.metrics import gauc
from edgerec.model.optimizer import RowAdam, table_paths
from edgerec.model.reranker import Reranker
from edgerec.model.run_head import RunHead
from edgerec.model.runs import (
    HISTORY,
    Run,
    load_run,
    model_for,
    save_run,
    tool_versions,
    version_id,
    weights_digest,
    writing,
)
from edgerec.model.tally import Tally
from edgerec.model.workers import Workers, workers


def train(
    samples: Samples,
    config: TrainConfig,
    path: Path,
    *,
    samples_path: Path,
    force: bool = False,
    resume: bool = False,
    tensorboard: Path | None = None,
) -> Run:
    """Train a model on `samples` and write the run folder `path`.

    Work goes on in the hidden folder ``.<name>.training`` beside `path`, with a checkpoint after each epoch, until the
    run stands at `path`. A training that is stopped after its first epoch stays there; with `resume` it goes on after
    its last whole epoch, with the batches that an unbroken training would have drawn.

    Where `TF_CONFIG` names several workers, each of them calls this, and sees the same samples and the same `path`. The
    first one writes.

    Args:
        samples: what is learnt from.
        config: of the training.
        path: the folder to write.
        samples_path: where `samples` stand.
        force: replace `path`, and begin anew where an unfinished training stands.
        resume: go on with an unfinished training.
        tensorboard: a folder for TensorBoard's event files; default: none are written.

    Raises:
        OutputError: `path` exists and `force` is false, an unfinished training stands there and neither `force` nor
            `resume` is true, `path` and the samples do not lie apart, or something cannot be written.
        InputError: the training split has no click, or the validation split no request with both labels.
        TrainingError: the loss is no number, or another worker has ended.
        FormatError: there is no unfinished training to resume, it was begun with another configuration or samples, or
            it is damaged.
        ConfigurationError: `TF_CONFIG` is not as TensorFlow has it.
    """
    check_output(path, force=force, kind="run", inputs=[samples_path])
    if tensorboard is not None:
        check_utf8(tensorboard, what="TensorBoard")
        check_outside(tensorboard, [samples_path, path])
    _check_labels(samples)
    team = workers()
    where = str(samples_path.resolve())
    with contextlib.ExitStack() as stack:
        if team.chief:
            work = stack.enter_context(work_folder(path, config, where, force=force, resume=resume))
        team.meet()
        if not team.chief:
            work = follow(path, config, where, resume=resume)
        keras.utils.set_random_seed(config.seed)
        model = model_for(samples, config)
        if config.compiled:
            accelerate(model)
        optimizer = RowAdam(
            model.trainable_variables,
            tables=table_paths(model),
            clip_norm=config.clip_norm,
            average=config.average,
        )
        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
        work.restore(model, checkpoint)
        # Nobody begins to write before everybody has read.
        team.meet()
        board = _Board(tensorboard if team.chief else None)
        with team.together():
            _epochs(model, optimizer, checkpoint, samples, config, work, team, board)
        if not team.chief:
            team.meet()
            return load_run(path)

        work.load_best(model)
        run = Run(
            head=RunHead(
                version_id=version_id(model, datetime.now(timezone.utc)),
                config=config,
                spec=samples.head.spec,
                limits=samples.head.limits,
                samples=where,
                best_epoch=work.so_far.best_epoch,
                validation_gauc=work.so_far.best_gauc,
                parameters=model.count_params(),
                train_seconds=work.so_far.seconds,
                tools=tool_versions("edgerec", "tensorflow", "keras", "numpy"),
            ),
            vocabularies=samples.vocabularies,
            model=model,
        )
        # Built apart: until the run stands at `path`, the work folder is as it was and can be resumed.
        with output_folder(path, force=force, kind="run") as folder:
            save_run(run, folder, history=work.path / HISTORY)
        team.meet()
    return run


class _Board:
    """Writes TensorBoard's event files, or nothing."""

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


def _epochs(
    model: Reranker,
    optimizer: RowAdam,
    checkpoint: tf.train.Checkpoint,
    samples: Samples,
    config: TrainConfig,
    work: WorkFolder,
    team: Workers,
    board: _Board,
) -> None:
    """Train epoch by epoch until the validation GAUC stops rising; the best weights stand in the work folder."""
    split = samples.head.splits[TRAIN]
    requests = split.pages if config.one_per_page else split.requests
    step = train_step(model, optimizer, config.listwise_weight, team)
    scorer = traced(model)
    per_epoch = -(-requests // config.batch_size)
    if team.chief:
        log(_beginning(model, samples, config, after=work.so_far.epoch, requests=requests))
    while (so_far := work.so_far).epoch < config.epochs and so_far.epoch - so_far.best_epoch < config.patience:
        number = so_far.epoch + 1
        start = time.perf_counter()
        # Seeded by epoch, so that a resumed training draws the batches and hides the identities of an unbroken one.
        rng = np.random.default_rng([config.seed, number])
        model.item_embedding.reseed(config.seed * 1000 + number)
        batches = epoch(
            samples,
            TRAIN,
            batch_size=config.batch_size,
            rng=rng,
            shuffle_candidates=config.shuffle_candidates,
            one_per_page=config.one_per_page,
            together=config.together,
            part=(team.index, team.count),
        )
        losses: list[float] = []
        weights: list[float] = []

        def note() -> str:
            speed = len(losses) * config.batch_size / (time.perf_counter() - start)  # noqa: B023
            return f"loss {np.mean(losses[-50:]):.4f}, {speed:.0f} requests/s" if losses else ""  # noqa: B023

        steps = progress(ahead(batches), what=f"epoch {number}", total=per_epoch, note=note)
        for done, batch in enumerate(steps):
            optimizer.learning_rate.assign(_learning_rate(config, number - 1 + done / per_epoch))
            loss, exposed_ones = _checked(step, batch, number)
            losses.append(loss)
            weights.append(exposed_ones)
            if done % 50 == 0:
                board.write((number - 1) * per_epoch + done, batch_loss=loss)
        trained = time.perf_counter() - start
        with _averaged(model, optimizer):
            value = _validation_gauc(scorer, samples, number)
            digest = weights_digest(model)
            team.check_equal(digest)
            best = value > so_far.best_gauc
            if best:
                work.save_best(model, number)
                so_far = so_far.model_copy(update={"best_gauc": value, "best_epoch": number, "best_digest": digest})
        seconds = time.perf_counter() - start
        so_far = so_far.model_copy(update={"epoch": number, "seconds": so_far.seconds + seconds})
        row = {
            "epoch": number,
            "loss": float(np.average(losses, weights=weights)),
            "validation_gauc": value,
            "learning_rate": float(optimizer.learning_rate.numpy()),
            "requests_per_second": requests / trained,
            "seconds": seconds,
        }
        work.record(checkpoint, so_far, row)
        board.write(number * per_epoch, loss=row["loss"], validation_gauc=value)
        left = (config.epochs - number) * so_far.seconds / number
        if team.chief:
            log(
                f"epoch {number}/{config.epochs}  loss {row['loss']:.4f}  validation GAUC {value:.4f}"
                f"{' (best)' if best else ''}  {row['requests_per_second']:.0f} requests/s"
                f"  {row['seconds']:.0f} s{f', at most {left:.0f} s left' if left else ''}"
            )


def _beginning(model: Reranker, samples: Samples, config: TrainConfig, *, after: int, requests: int) -> str:
    """What is trained, on what and where: the first epoch may take long."""
    split = samples.head.splits[TRAIN]
    drawn = "" if requests == split.requests else f", one of each of {requests:,} pages an epoch"
    gpus = len(tf.config.list_physical_devices("GPU"))
    threads = tf.config.threading.get_intra_op_parallelism_threads() or cores()
    where = f"{gpus} GPU{'s' * (gpus > 1)}" if gpus else f"CPU, {threads} thread{'s' * (threads > 1)}"
    compiles = "; the first steps take longer, while they are compiled" if config.compiled else ""
    return (
        f"train {config.model}: {model.count_params():,} parameters; {split.requests:,} requests with "
        f"{split.exposures:,} exposures{drawn}; {f'after epoch {after}, ' if after else ''}at most {config.epochs} "
        f"epochs of {-(-requests // config.batch_size):,} steps; {where}{compiles}"
    )


@contextlib.contextmanager
def _averaged(model: Reranker, optimizer: RowAdam) -> Iterator[None]:
    """Let the running average of the weights stand in for them, where one is kept; training goes on from its own."""
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


def train_step(
    model: Reranker, optimizer: RowAdam, listwise_weight: float, team: Workers
) -> Callable[[Any, Any, Any], Any]:
    """One step of every worker with its share of a batch; returns loss and number of exposed ones of the whole."""
    variables = [variable.value for variable in model.trainable_variables]
    labels = tf.TensorSpec((None, None), tf.float32)

    def share(inputs: Any, label: Any, weight: Any) -> Any:
        exposed, clicks = team.total([tf.reduce_sum(weight), tf.reduce_sum(label)])
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            loss = cross_entropy(logits, label, weight, exposed=exposed)
            total = loss
            if listwise_weight:
                total += listwise_weight * listwise(logits, label, weight, clicks=clicks)
        *gradients, loss = team.total([*tape.gradient(total, variables), loss])
        optimizer.apply(gradients)
        return loss, exposed

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[model.input_signature(), labels, labels], autograph=False
    )
    def step(inputs: Any, label: Any, weight: Any) -> Any:
        return team.each(share)(inputs, label, weight)

    return step  # type: ignore[no-any-return]


def _checked(step: Callable[[Any, Any, Any], Any], batch: Batch, number: int) -> tuple[float, float]:
    loss, exposed_ones = (float(value) for value in step(batch.inputs, batch.label, batch.weight))
    if not math.isfinite(loss):
        raise TrainingError(f"training: the loss became {loss} in epoch {number}: {_calmer(number)}")
    return loss, exposed_ones


def _calmer(number: int) -> str:
    # What was recorded of the epochs before stands in the way of another configuration.
    return f"lower learning_rate or clip_norm and {'train again' if number == 1 else 'begin anew with --force'}"


def _learning_rate(config: TrainConfig, epochs: float) -> float:
    """After so many epochs, part of one included."""
    if not config.decay_epochs:
        return config.learning_rate
    done = min(epochs / config.decay_epochs, 1.0)
    return config.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def _validation_gauc(scorer: Callable[[Any], Any], samples: Samples, number: int) -> float:
    tally = Tally()
    for scored in scored_batches(scorer, samples, VALIDATION, what="validate"):
        if not np.isfinite(scored.logit).all():
            # An epoch's last step can break the weights without a loss that shows it.
            worst = scored.logit[~np.isfinite(scored.logit)][0]
            raise TrainingError(f"training: the scores became {worst} in epoch {number}: {_calmer(number)}")
        tally.add(scored)
    return tally.user_sums().gauc


def _check_labels(samples: Samples) -> None:
    counts = samples.head.splits[TRAIN]
    if not 0 < counts.clicks < counts.exposures:
        raise InputError(
            f"training split has {counts.clicks} clicks on {counts.exposures} exposures: "
            "it needs clicked and unclicked ones to learn from"
        )
    if not any(map(_has_both, samples.requests(VALIDATION))):
        raise InputError(
            "validation split has no request with a clicked and an unclicked exposure, so nothing can tell "
            "when to stop: make samples with a larger --validation-fraction"
        )


def _has_both(requests: Requests) -> bool:
    """Whether one of the requests has a clicked and an unclicked exposure."""
    seen = exposed(requests)
    return not math.isnan(gauc(seen.group, seen.label, np.zeros(len(seen.label))))
