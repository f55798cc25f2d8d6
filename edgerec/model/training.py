"""Training of a model on samples. It minimises cross-entropy over exposed candidates (section 3.3, eq. 11)."""

from __future__ import annotations

import contextlib
import math

import keras
import numpy as np
import tensorflow as tf

from edgerec.core.arguments import check_object
from edgerec.core.atomic import check_output, check_outside
from edgerec.core.console import log
from edgerec.core.errors import ConfigurationError, InputError
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import check_utf8
from edgerec.data.samples import TRAIN, VALIDATION, Requests, Samples
from edgerec.model.baselines import exposed
from edgerec.model.checkpoints import follow, work_folder
from edgerec.model.config import TrainConfig
from edgerec.model.defaults import describe, large_batches, resolve
from edgerec.model.finishing import publish_run
from edgerec.model.further import continued, read_start
from edgerec.model.input_pipeline import epoch
from edgerec.model.metrics import gauc
from edgerec.model.optimizer import RowAdam, table_paths
from edgerec.model.plugin_layers import graphs_of, try_model
from edgerec.model.runs import Run, checked_paths, load_run, load_weights, model_for
from edgerec.model.training_loop import Board, Stop, TrainingLoop
from edgerec.model.workers import workers


def train(
    samples: Samples,
    config: TrainConfig,
    path: AnyPath,
    *,
    samples_path: AnyPath | None = None,
    from_run: AnyPath | None = None,
    force: bool = False,
    resume: bool = False,
    tensorboard: AnyPath | None = None,
    stop: Stop | None = None,
) -> Run:
    """Train a model on `samples` and write the run folder `path`.

    The hidden folder ``.<name>.training`` beside `path` keeps the work until the run is complete, with a checkpoint
    after each epoch. If the training stops after its first epoch, the folder stays. `resume` then continues after the
    last complete epoch, with the same batches as a training without the interruption.

    If `TF_CONFIG` names several workers, each of them calls this function, with the same samples and the same `path`.
    The first worker writes the files.

    Args:
        samples: the samples to train on.
        config: the settings. Those that it leaves out are chosen by the size of the samples.
        path: the folder to write.
        samples_path: the path of the samples that the run stores; default: the folder of `samples`.
        from_run: the folder of a run that is trained further: the training starts from its weights. `config` must not
            state another model, width or depth than the run's. Make the samples with ``write_samples(..., like=...)``.
        force: replace `path`. If there is an unfinished training, start again from the beginning.
        resume: continue an unfinished training.
        tensorboard: a folder for TensorBoard's event files; default: none are written.
        stop: a function that is called after each epoch, except the last, with the validation GAUC of all epochs. If it
            returns true, the training ends and the best epoch becomes the run. Only a single process can use it.

    Raises:
        OutputError: `path` exists and `force` is false; or there is an unfinished training and neither `force` nor
            `resume` is true; or `path` contains the samples or they contain it; or a file cannot be written.
        InputError: an argument is of another class, the training split has no click, or the validation split has no
            request with both labels.
        TrainingError: the loss is not finite, or another worker has ended.
        PluginError: a layer or a feature kind of another package fails.
        FormatError: there is no unfinished training to resume, it was started with another configuration or samples, or
            it is damaged; or `from_run` is not a run.
        SpecificationError: the samples have other features, vocabularies or limits than the run `from_run`.
        IntegrityError: the weights of the run `from_run` are not those of its version.
        ConfigurationError: `TF_CONFIG` does not have TensorFlow's format, or `config` does not fit the run `from_run`.
    """
    path, samples_path = checked_paths("train", samples, path, samples_path)
    check_object(config, TrainConfig, "train: `config`", source="TrainConfig(...)")
    start = None if from_run is None else to_path(from_run, "train: `from_run`")
    check_output(path, force=force, kind="run", inputs=[samples_path, *([start] if start else [])])
    if tensorboard is not None:
        tensorboard = to_path(tensorboard, "train: `tensorboard`")
        check_utf8(tensorboard, what="TensorBoard")
        check_outside(tensorboard, [samples_path, path])
    _check_labels(samples)
    head = None if start is None else read_start(start, samples)
    given = config if head is None else continued(config, head)
    config, trained_from = resolve(given, samples), head.version_id if head else None
    team = workers()
    where, digest = str(samples_path.resolve()), samples.digest
    with contextlib.ExitStack() as stack:
        if team.chief:
            work = stack.enter_context(
                work_folder(path, config, where, digest=digest, force=force, resume=resume, trained_from=trained_from)
            )
        team.barrier()
        if not team.chief:
            work = follow(path, config, where, digest=digest, resume=resume, trained_from=trained_from)
        if team.chief:
            log("building the model")
        keras.utils.set_random_seed(config.seed)
        model = model_for(samples, config)
        if config.shuffle_candidates and model.ranker.reads_kinds:
            raise ConfigurationError(
                f"training: {config.model} learns from the order in which cards were shown: set shuffle_candidates = "
                "false"
            )
        if start is not None and head is not None:
            load_weights(model, head, start)
        try_model(model, next(epoch(samples, VALIDATION, batch_size=8)))
        optimizer = RowAdam(
            model.trainable_variables,
            tables=table_paths(model),
            clip_norm=config.clip_norm,
            average=config.average,
        )
        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
        work.restore(model, checkpoint)
        # Wait here, so that no worker writes to the work folder before all workers have read it.
        team.barrier()
        if team.chief and (line := describe(given, config, samples)):
            log(line)
        if team.chief and (line := large_batches(given, samples)):
            log(line)
        board = Board(tensorboard if team.chief else None)
        with team.collective(), graphs_of(model):
            early = TrainingLoop(model, optimizer, checkpoint, samples, config, work, team, board, stop=stop).run()
        if not team.chief:
            team.barrier()
            return load_run(path)

        run = publish_run(work, model, samples, path, force=force, early=early)
        team.barrier()
    return run


def _check_labels(samples: Samples) -> None:
    counts = samples.head.splits[TRAIN]
    if not 0 < counts.clicks < counts.exposures:
        raise InputError(
            f"training split has {counts.clicks} clicks on {counts.exposures} exposures: "
            "a model can only be trained if there are both clicked and unclicked exposures"
        )
    if not any(map(_has_both, samples.requests(VALIDATION))):
        raise InputError(
            "validation split has no request with a clicked and an unclicked exposure, so the training cannot decide "
            "when to stop: make samples with a larger --validation-fraction"
        )


def _has_both(requests: Requests) -> bool:
    """Return whether one of the requests has a clicked and an unclicked exposure."""
    seen = exposed(requests)
    return not math.isnan(gauc(seen.group, seen.label, np.zeros(len(seen.label))))
