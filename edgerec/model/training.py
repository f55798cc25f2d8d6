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

from edgerec.core.atomic import check_output, output_folder
from edgerec.core.console import log, progress
from edgerec.core.errors import InputError, TrainingError
from edgerec.data.samples import TRAIN, VALIDATION, Requests, Samples
from edgerec.model.baselines import exposed
from edgerec.model.batches import Batch, epoch
from edgerec.model.checkpoints import WorkFolder, work_folder
from edgerec.model.config import TrainConfig
from edgerec.model.evaluation import score, traced
from edgerec.model.metrics import gauc
from edgerec.model.reranker import Reranker
from edgerec.model.runs import HISTORY, Run, RunHead, model_for, save_run, tool_versions, version_id, weights_digest


def train(
    samples: Samples, config: TrainConfig, path: Path, *, samples_path: Path, force: bool = False, resume: bool = False
) -> Run:
    """Train a model on `samples` and write the run folder `path`.

    Work goes on in the hidden folder ``.<name>.training`` beside `path`, with a checkpoint after each epoch, until the
    run stands at `path`. A training that is stopped after its first epoch stays there; with `resume` it goes on after
    its last whole epoch, with the batches that an unbroken training would have drawn.

    Raises:
        OutputError: `path` exists and `force` is false, an unfinished training stands there and neither `force` nor
            `resume` is true, or something cannot be written.
        InputError: the training split has no click, or the validation split no request with both labels.
        TrainingError: the loss is no number.
        FormatError: there is no unfinished training to resume, it was begun with another configuration or samples, or
            it is damaged.
    """
    check_output(path, force=force, kind="run")
    _check_labels(samples)
    where = str(samples_path.resolve())
    with work_folder(path, config, where, force=force, resume=resume) as work:
        keras.utils.set_random_seed(config.seed)
        model = model_for(samples, config)
        averaging = {"use_ema": True, "ema_momentum": config.average} if config.average else {}
        optimizer = keras.optimizers.Adam(config.learning_rate, global_clipnorm=config.clip_norm, **averaging)
        optimizer.build(model.trainable_variables)
        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
        work.restore(model, checkpoint)
        _epochs(model, optimizer, checkpoint, samples, config, work)

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
    return run


def _epochs(
    model: Reranker,
    optimizer: keras.optimizers.Optimizer,
    checkpoint: tf.train.Checkpoint,
    samples: Samples,
    config: TrainConfig,
    work: WorkFolder,
) -> None:
    """Train epoch by epoch until the validation GAUC stops rising; the best weights stand in the work folder."""
    requests = samples.head.splits[TRAIN].requests
    step = _train_step(model, optimizer)
    scorer = traced(model)
    per_epoch = -(-requests // config.batch_size)
    while (so_far := work.so_far).epoch < config.epochs and so_far.epoch - so_far.best_epoch < config.patience:
        number = so_far.epoch + 1
        start = time.perf_counter()
        optimizer.learning_rate.assign(_learning_rate(config, number))
        # Seeded by epoch, so that a resumed training draws the batches and hides the identities of an unbroken one.
        rng = np.random.default_rng([config.seed, number])
        model.item_embedding.reseed(config.seed * 1000 + number)
        losses, weights = [], []
        batches = epoch(
            samples,
            TRAIN,
            batch_size=config.batch_size,
            rng=rng,
            shuffle_candidates=config.shuffle_candidates,
        )
        for batch in progress(batches, what=f"epoch {number}", total=per_epoch):
            loss = _checked(step, batch, number)
            losses.append(loss)
            weights.append(float(batch.weight.sum()))
        trained = time.perf_counter() - start
        with _averaged(model, optimizer):
            value = _validation_gauc(scorer, samples, number)
            best = value > so_far.best_gauc
            if best:
                work.save_best(model, number)
                found = {"best_gauc": value, "best_epoch": number, "best_digest": weights_digest(model)}
                so_far = so_far.model_copy(update=found)
        seconds = time.perf_counter() - start
        so_far = so_far.model_copy(update={"epoch": number, "seconds": so_far.seconds + seconds})
        row = {
            "epoch": number,
            "loss": float(np.average(losses, weights=weights)),
            "validation_gauc": value,
            "requests_per_second": requests / trained,
            "seconds": seconds,
        }
        work.record(checkpoint, so_far, row)
        log(
            f"epoch {number}/{config.epochs}  loss {row['loss']:.4f}  validation GAUC {value:.4f}"
            f"{' (best)' if best else ''}  {row['requests_per_second']:.0f} requests/s"
            f"  {row['seconds']:.0f} s"
        )


@contextlib.contextmanager
def _averaged(model: Reranker, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Let the running average of the weights stand in for them, where one is kept; training goes on from its own."""
    if not optimizer.use_ema:
        yield
        return
    own = [variable.numpy() for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


def _train_step(model: Reranker, optimizer: keras.optimizers.Optimizer) -> Callable[[Any, Any, Any], Any]:
    variables = model.trainable_variables
    labels = tf.TensorSpec((None, None), tf.float32)

    @tf.function(input_signature=[model.input_signature(), labels, labels])  # type: ignore[untyped-decorator]
    def step(inputs: Any, label: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(label, logits)
            loss = tf.reduce_sum(entropy * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return step  # type: ignore[no-any-return]


def _checked(step: Callable[[Any, Any, Any], Any], batch: Batch, number: int) -> float:
    loss = float(step(batch.inputs, batch.label, batch.weight))
    if not math.isfinite(loss):
        raise TrainingError(f"training: the loss became {loss} in epoch {number}: {_calmer(number)}")
    return loss


def _calmer(number: int) -> str:
    # What was recorded of the epochs before stands in the way of another configuration.
    return f"lower learning_rate or clip_norm and {'train again' if number == 1 else 'begin anew with --force'}"


def _learning_rate(config: TrainConfig, number: int) -> float:
    if not config.decay_epochs:
        return config.learning_rate
    done = min((number - 1) / config.decay_epochs, 1.0)
    return config.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def _validation_gauc(scorer: Callable[[Any], Any], samples: Samples, number: int) -> float:
    scored = score(scorer, samples, VALIDATION, what="validate")
    if not np.isfinite(scored.logit).all():
        # An epoch's last step can break the weights without a loss that shows it.
        worst = scored.logit[~np.isfinite(scored.logit)][0]
        raise TrainingError(f"training: the scores became {worst} in epoch {number}: {_calmer(number)}")
    return gauc(scored.group, scored.label, scored.logit)


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
