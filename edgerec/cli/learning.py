"""The commands that train and evaluate models: `train`, `evaluate` and `ablate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerec.cli.command import need
from edgerec.cli.options import (
    FOLDER_OR_URL,
    PATH,
    ModelOption,
    WholeNumber,
    batch_size_option,
    config_default,
    config_option,
    epochs_option,
    force_option,
    json_option,
    oracle_logs_option,
    out_option,
    resume_option,
    split_option,
)
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow
from edgerec.core.errors import InputError
from edgerec.core.text import counted

if TYPE_CHECKING:
    from edgerec.model.run_head import RunHead
    from edgerec.model.tuning.tune import Tuned


_STOPPING = "stopping: the current step ends first"
_FEW_EPOCHS = 4
"""By default no training has fewer epochs (docs/training.md, "By size")."""


@click.command()
@click.argument("samples", type=FOLDER_OR_URL)
@out_option("run")
@config_option("training settings (docs/training.md). The options below replace its values.")
@click.option("--model", cls=ModelOption)
@epochs_option
@batch_size_option
@click.option(
    "--seed",
    type=int,
    help="Seed of all random numbers: the initial weights, the order of the batches, and which IDs are replaced by the "
    f"unknown ID. {config_default(1)}",
)
@click.option("--tensorboard", type=PATH, help="Also write TensorBoard event files to this folder.")
@resume_option("an interrupted training that has the same configuration")
@click.option(
    "--finish",
    is_flag=True,
    help="End an interrupted training: its best epoch so far becomes the run. Of an interrupted search with --tune, "
    "the best trial becomes the run.",
)
@click.option(
    "--tune",
    type=WholeNumber(min=1),
    metavar="N",
    help="Train N configurations, and keep the one with the best validation GAUC. The first one is the given "
    "configuration. The others change settings that neither --config nor an option sets (docs/training.md).",
)
@click.option(
    "--from",
    "from_run",
    type=PATH,
    metavar="RUN",
    help="Train this run further: start from its weights. The model, `units` and `layers` are those of the run. Make "
    "SAMPLES with `edgerec samples --like RUN`.",
)
@force_option
@json_option
def train(
    samples: Path | str,
    out: Path,
    config: Path | None,
    tensorboard: Path | None,
    resume: bool,
    finish: bool,
    tune: int | None,
    from_run: Path | None,
    force: bool,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train a model on SAMPLES, with checkpoints and early stopping."""
    need("train", "polars", "tensorflow")
    from edgerec.cli.at_once import said_at_once
    from edgerec.core.atomic import check_output
    from edgerec.core.console import log
    from edgerec.core.resumable import check_unfinished
    from edgerec.data.remote.fetch import local
    from edgerec.data.samples import open_samples
    from edgerec.model.config import load_config
    from edgerec.model.further import continued, read_start
    from edgerec.model.progress import has_progress, training_folders
    from edgerec.model.run_head import read_run_head
    from edgerec.model.tuning.folder import has_search, search_folders

    if finish:
        others: dict[str, Any] = {"resume": resume or None, "tune": tune, "from": from_run, **overrides}
        _check_alone("--finish", config=config, tensorboard=tensorboard, **others)
        _finish(samples, out, force=force, as_json=as_json)
        return
    if tune is not None:
        if from_run is not None:
            raise click.UsageError("--tune trains new runs, which start from initial weights: leave out --from")
        need("tune", "optuna")
    head = None if from_run is None else read_run_head(from_run)[0]
    settings = load_config(config, overrides, model=head.config.model if head else "crban")
    check_output(
        out, force=force, kind="run", inputs=[each for each in (samples, config, from_run) if isinstance(each, Path)]
    )
    if resume and tune is None and has_search(out) and not has_progress(out):
        raise InputError(f"train: {out} has an unfinished search, which --tune N --resume continues: add --tune")
    if "TF_CONFIG" not in os.environ:  # Otherwise, the first of several workers may have begun already.
        folders = training_folders() if tune is None else search_folders()
        check_unfinished(out, folders, force=force, resume=resume)
    opened = open_samples(local(samples, head="samples.json"))
    if from_run is not None:
        settings = continued(settings, read_start(from_run, opened))
    log("train: loading TensorFlow")
    import_tensorflow()
    if tune is not None:
        from edgerec.model.tuning.tune import tune as run_search

        with said_at_once(_STOPPING):
            tuned = run_search(opened, settings, out, trials=tune, force=force, resume=resume, tensorboard=tensorboard)
        _emit_search(out, tuned, as_json=as_json)
        return
    from edgerec.model.training import train as run_training

    with said_at_once(_STOPPING):
        run = run_training(
            opened, settings, out, from_run=from_run, force=force, resume=resume, tensorboard=tensorboard
        )
    emit(_run_document(out, run.head), as_json=as_json)


@click.command()
@click.argument("paths", type=FOLDER_OR_URL, nargs=-1, required=True, metavar="[RUN] SAMPLES")
@split_option(["train", "validation", "test"], "Split of the samples to evaluate on.")
@click.option(
    "--oracle",
    is_flag=True,
    help="For simulated logs: also evaluate two reference rankings. One sorts by the true click probability. The other "
    "puts the category of the last page-view first.",
)
@oracle_logs_option
@json_option
def evaluate(paths: tuple[Path | str, ...], split: str, oracle: bool, logs: Path | None, as_json: bool) -> None:
    """Print GAUC and other metrics of RUN on SAMPLES, and GAUC of simple baselines.

    Without RUN, only the baselines are evaluated.
    """
    _check_logs_option(logs, oracle)
    if len(paths) > 2:
        raise click.UsageError(f"evaluate takes one or two folders, [RUN] SAMPLES; received {len(paths)} folders")
    need("train", "polars", *(["tensorflow"] if len(paths) == 2 else []))
    from edgerec.cli.tables.learning import baselines_table, evaluation_table
    from edgerec.core.written import layout_of
    from edgerec.data.remote.fetch import local
    from edgerec.data.samples import open_samples
    from edgerec.model.baselines import baselines_document

    run = Path(paths[0]) if len(paths) == 2 else None
    if run is not None and isinstance(paths[0], str):
        raise InputError("evaluate: RUN should be a folder on this machine; received a URL")
    samples = local(paths[-1], head="samples.json")
    layout = layout_of(samples)
    if layout is not None and layout.kind == "run":
        raise InputError(
            f"evaluate: {samples} is a run: give the folder of the samples after it: edgerec evaluate RUN SAMPLES"
        )
    opened = open_samples(samples)
    if run is not None:
        from edgerec.model.run_head import check_samples, read_run_head

        check_samples(*read_run_head(run), opened)
    reached = _oracle(opened, logs, split) if oracle else {}
    if run is None:
        document = baselines_document(opened, split, oracle=reached)
        emit(document, as_json=as_json, table=baselines_table(document))
        return
    import_tensorflow()
    from edgerec.model.evaluation import evaluate as run_evaluation
    from edgerec.model.runs import load_run

    loaded = load_run(run)
    document = run_evaluation(loaded, opened, split=split, oracle=reached)
    emit(document, as_json=as_json, table=evaluation_table(document))
    served = document["baselines"]["base_order"]
    if document["gauc"] <= served:
        from edgerec.core.console import log

        log(_not_better(served, loaded.head.epochs_trained))


@click.command()
@click.argument("samples", type=FOLDER_OR_URL)
@out_option("ablation")
@click.option(
    "--seeds",
    type=int,
    default=3,
    show_default=True,
    help="Number of seeds N. Each model is trained with the seeds 1 to N.",
)
@click.option(
    "--models",
    help="Names of the models to train, separated by commas. The model dlcm is always added. Default: those of "
    "Table 2 of the paper, and crban_plus.",
)
@config_option("training settings, as for `edgerec train`. A table [models.NAME] sets them for one model only.")
@epochs_option
@split_option(["validation", "test"], "Split of the samples to evaluate on.")
@click.option("--peers", is_flag=True, help="Also train LightGBM, on the inputs of crban_plus.")
@click.option(
    "--oracle",
    is_flag=True,
    help='For simulated logs: add the column "gap closed". It says where the GAUC of a model is on a scale from the '
    "GAUC of the served order (0 %) to that of the true click probabilities (100 %).",
)
@oracle_logs_option
@resume_option("an interrupted ablation that has the same settings. It may have other --models and --seeds")
@force_option
@json_option
def ablate(
    samples: Path | str,
    out: Path,
    seeds: int,
    models: str | None,
    config: Path | None,
    epochs: int | None,
    split: str,
    peers: bool,
    oracle: bool,
    logs: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compare models on SAMPLES, as in Table 2 of the paper.

    Each model is trained with several seeds. A paired test compares its GAUC with that of DLCM.
    """
    _check_logs_option(logs, oracle)
    need("train", "polars", "tensorflow", "plotly", "jinja2")
    if peers:
        need("peers", "lightgbm")
    from edgerec.cli.at_once import said_at_once
    from edgerec.core.atomic import check_output
    from edgerec.core.resumable import check_unfinished, resumable
    from edgerec.data.remote.fetch import local
    from edgerec.data.samples import open_samples
    from edgerec.model.ablation.config import load_ablation

    names = [name.strip() for name in models.split(",")] if models is not None else None
    settings = load_ablation(config, models=names, seeds=seeds, epochs=epochs, trees=peers)
    check_output(
        out, force=force, kind="ablation", inputs=[each for each in (samples, config, logs) if isinstance(each, Path)]
    )
    check_unfinished(out, resumable("ablation"), force=force, resume=resume)
    opened = open_samples(local(samples, head="samples.json"))
    reached = _oracle(opened, logs, split) if oracle else {}
    import_tensorflow()
    from edgerec.cli.tables.learning import ablation_table
    from edgerec.model.ablation.ablate import ablate as run_ablation

    with said_at_once(_STOPPING):
        document = run_ablation(opened, settings, out, split=split, oracle=reached, force=force, resume=resume)
    emit({"ablation": str(out), **document}, as_json=as_json, table=ablation_table(document))


def _not_better(served: float, epochs: int | None) -> str:
    """Return the note on a model that is not better than the served order, which has the GAUC `served`.

    Args:
        served: GAUC of the served order.
        epochs: number of epochs of the training, or None if the run does not have it.
    """
    few = epochs is not None and epochs < _FEW_EPOCHS
    short = f"it was trained for {counted(epochs or 0, 'epoch', 'epochs')} only, " if few else ""
    return (
        f"evaluate: the model is not better than the served order (GAUC {served:.4f}): {short}it has too few requests, "
        "its features say too little, or it needs other settings (docs/training.md)"
    )


def _finish(samples: Path | str, out: Path, *, force: bool, as_json: bool) -> None:
    """End an unfinished training or an unfinished search."""
    from edgerec.data.remote.fetch import local
    from edgerec.data.samples import open_samples

    opened = open_samples(local(samples, head="samples.json"))
    import_tensorflow()
    from edgerec.model.finishing import finish
    from edgerec.model.progress import has_progress
    from edgerec.model.tuning.folder import has_search

    if has_progress(out) or not has_search(out):
        emit(_run_document(out, finish(opened, out, force=force).head), as_json=as_json)
        return
    need("tune", "optuna")
    from edgerec.model.tuning.tune import finish_search

    _emit_search(out, finish_search(opened, out, force=force), as_json=as_json)


def _emit_search(out: Path, tuned: Tuned, *, as_json: bool) -> None:
    """Write the result of `train --tune` to stdout."""
    from edgerec.cli.tables.learning import search_table

    trials = [trial.model_dump(mode="json") for trial in tuned.trials]
    document = {**_run_document(out, tuned.run.head), "best_trial": tuned.best, "trials": trials}
    emit(document, as_json=as_json, table=search_table(document))


def _run_document(path: Path, head: RunHead) -> dict[str, Any]:
    """Return the document of `train`."""
    return {
        "run": str(path),
        "version_id": head.version_id,
        "model": head.config.model,
        **({"trained_from": head.trained_from} if head.trained_from else {}),
        "best_epoch": head.best_epoch,
        "epochs_trained": head.epochs_trained,
        "finished_early": head.finished_early,
        "validation_gauc": head.validation_gauc,
        "parameters": head.parameters,
        "train_seconds": head.train_seconds,
    }


def _check_alone(option: str, **others: Any) -> None:
    """Raise a usage error if one of the options `others` is given together with `option`."""
    given = [f"--{name.replace('_', '-')}" for name, value in others.items() if value is not None]
    if given:
        raise click.UsageError(
            f"{option} keeps the configuration of the interrupted training: leave out {' and '.join(given)}"
        )


def _check_logs_option(logs: Path | None, oracle: bool) -> None:
    if logs is not None and not oracle:
        raise click.UsageError("--logs has no effect without --oracle: add --oracle or remove --logs")


def _oracle(samples: Any, logs: Path | None, split: str) -> dict[str, float]:
    """Return GAUC of the reference rankings of a simulation, by name."""
    from edgerec.simulation.oracle import oracle

    return oracle(samples, logs or Path(samples.head.logs), split=split)
