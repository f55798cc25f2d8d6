"""The end of a training: the best epoch in the work folder becomes the run."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from edgerec.core.atomic import check_output, output_folder
from edgerec.core.paths import AnyPath
from edgerec.data.samples import Samples
from edgerec.model.checkpoints import WorkFolder, unfinished_training
from edgerec.model.reranker import Reranker
from edgerec.model.run_head import RunHead
from edgerec.model.runs import Run, checked_paths, model_for, save_run, tool_versions, version_id


def finish(samples: Samples, path: AnyPath, *, samples_path: AnyPath | None = None, force: bool = False) -> Run:
    """End the unfinished training of the run `path`: write the run with the best epoch so far.

    Args:
        samples: the samples of the training.
        path: the folder to write.
        samples_path: as in `train`.
        force: replace `path`.

    Raises:
        FormatError: there is no unfinished training, it has no complete epoch, it was started with other samples, or it
            is damaged.
        OutputError: another process is still training; or `path` exists and `force` is false; or it cannot be written.
        InputError: an argument is of another class.
    """
    path, samples_path = checked_paths("finish", samples, path, samples_path)
    with unfinished_training(path, str(samples_path.resolve()), digest=samples.digest) as work:
        check_output(path, force=force, kind="run", inputs=[samples_path])
        model = model_for(samples, work.so_far.config)
        return publish_run(work, model, samples, path, force=force, early=True)


def publish_run(work: WorkFolder, model: Reranker, samples: Samples, path: Path, *, force: bool, early: bool) -> Run:
    """Write the run folder `path` with the best weights of the training, and return the run.

    Until the run is complete at `path`, the work folder is unchanged, and the training can be resumed.

    Args:
        work: the work folder of the training.
        model: the model of the training. Its weights are replaced.
        samples: the samples of the training.
        path: the folder to write.
        force: replace `path`.
        early: whether the training was ended before its last epoch.

    Raises:
        FormatError: the weights are missing or damaged.
        OutputError: `path` exists and `force` is false, or it cannot be written.
    """
    so_far = work.so_far
    work.load_best(model)
    run = Run(
        head=RunHead(
            version_id=version_id(model, datetime.now(timezone.utc)),
            config=so_far.config,
            spec=samples.head.spec,
            limits=samples.head.limits,
            samples=so_far.samples,
            trained_from=so_far.trained_from,
            best_epoch=so_far.best_epoch,
            epochs_trained=so_far.epoch,
            finished_early=early,
            validation_gauc=so_far.best_gauc,
            parameters=model.count_params(),
            train_seconds=so_far.seconds,
            tools=tool_versions("edgerec", "tensorflow", "keras", "numpy"),
        ),
        vocabularies=samples.vocabularies,
        model=model,
    )
    with output_folder(path, force=force, kind="run") as folder:
        save_run(run, folder, history=work.rows)
    return run
