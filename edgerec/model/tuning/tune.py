"""`edgerec train --tune`: train several configurations; the one with the best validation GAUC becomes the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from edgerec import __version__
from edgerec.core.arguments import check_object, check_whole
from edgerec.core.atomic import check_output, output_folder
from edgerec.core.console import log
from edgerec.core.errors import ConfigurationError, FormatError, TrainingError, first_line
from edgerec.core.paths import AnyPath, to_path
from edgerec.data.fitted_run import HEAD
from edgerec.data.samples import Samples
from edgerec.model.config import ResolvedConfig, TrainConfig
from edgerec.model.defaults import resolve, sample_size, xla_pays
from edgerec.model.progress import has_progress
from edgerec.model.run_head import read_run_head
from edgerec.model.runs import HISTORY, Run, checked_paths, load_run
from edgerec.model.training import train
from edgerec.model.tuning.folder import Search, SearchFolder, search_folder, unfinished_search
from edgerec.model.tuning.sampler import propose, should_prune
from edgerec.model.tuning.space import Space, first_settings, search_space
from edgerec.model.tuning.trials import TRIALS, Trial, best_trial, write_trials
from edgerec.model.workers import workers_named


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes:
        run: the run of the best trial.
        trials: all trials.
        best: the number of the best trial.
    """

    run: Run
    trials: list[Trial]
    best: int


def tune(
    samples: Samples,
    config: TrainConfig,
    path: AnyPath,
    *,
    trials: int,
    samples_path: AnyPath | None = None,
    force: bool = False,
    resume: bool = False,
    tensorboard: AnyPath | None = None,
) -> Tuned:
    """Search for settings with a good validation GAUC, and write the run of the best trial to the folder `path`.

    Each trial is a training. The first trial has the settings of `config`. Later trials replace those settings that
    `config` does not set explicitly (`TrainConfig(units=16)` sets `units`). A trial is stopped early (pruned) if its
    GAUC is below the median of earlier trials.

    The hidden folder ``.<name>.tuning`` beside `path` keeps the work until the run is complete. `resume` continues an
    interrupted search, with the same trials as a search without the interruption. `trials` may then be another number.

    Args:
        samples: the samples to train on.
        config: the settings of the first trial. Those that it leaves out are chosen by the size of the samples. Its
            seed is also the seed of the search.
        path: the folder to write.
        trials: number of trials.
        samples_path: as in `train`.
        force: replace `path`. If there is an unfinished search, start again from the beginning.
        resume: continue an unfinished search.
        tensorboard: a folder for TensorBoard's event files, with one folder for each trial.

    Raises:
        ConfigurationError: `config` sets everything that a search varies, or `TF_CONFIG` names several workers.
        TrainingError: all trials have failed.
        EdgeRecError: as `train`.
    """
    path, samples_path = checked_paths("tune", samples, path, samples_path)
    check_object(config, TrainConfig, "tune: `config`", source="TrainConfig(...)")
    check_whole(trials, "tune: `trials`", least=1)
    check_output(path, force=force, kind="run", inputs=[samples_path])
    if workers_named():
        raise ConfigurationError(
            "tune: TF_CONFIG names several workers, but a search runs in one process: unset TF_CONFIG"
        )
    fixed = sorted(name for name in config.model_fields_set if getattr(config, name) not in (None, "auto"))
    config = resolve(config, samples)
    space = search_space(config, fixed)
    search = Search(
        version=__version__,
        samples=str(samples_path.resolve()),
        digest=samples.digest,
        config=config,
        fixed=fixed,
    )
    requests = sample_size(config, samples).requests
    boards = None if tensorboard is None else to_path(tensorboard, "tune: `tensorboard`")
    with search_folder(path, search, force=force, resume=resume) as folder:
        for number in range(len(folder.trials) + 1, trials + 1):
            settings = _settings(folder, config, space)
            log(f"trial {number} of {trials}: {_text(settings)}")
            board = boards and boards / f"trial-{number}"
            chosen = trial_config(search, settings, requests)
            folder.record(_train(samples, chosen, settings, folder, samples_path=samples_path, tensorboard=board))
            log(f"trial {number} of {trials}: {_outcome(folder.trials)}")
        return _publish(folder, path, force=force)


def finish_search(
    samples: Samples, path: AnyPath, *, samples_path: AnyPath | None = None, force: bool = False
) -> Tuned:
    """End the unfinished search for the run `path`: the best of the finished trials becomes the run.

    Args:
        samples: the samples of the search.
        path: the folder to write.
        samples_path: as in `train`.
        force: replace `path`.

    Raises:
        FormatError: there is no unfinished search, it has no complete trial, it was started with other samples, or it
            is damaged.
        OutputError: another process is still searching; or `path` exists and `force` is false; or it cannot be written.
    """
    path, samples_path = checked_paths("finish_search", samples, path, samples_path)
    with unfinished_search(path, str(samples_path.resolve())) as folder:
        check_output(path, force=force, kind="run", inputs=[samples_path])
        if best_trial(folder.trials) is None:
            raise FormatError(f"tuning: the unfinished search {folder.path} has no complete trial: leave out --finish")
        return _publish(folder, path, force=force)


def trial_config(search: Search, settings: Mapping[str, int | float], requests: int) -> ResolvedConfig:
    """Return the configuration of a trial with `settings`, for samples with this number of `requests` in an epoch.

    Unless the user sets `compiled`, each trial chooses it by its own number of layers.
    """
    config = search.config.model_copy(update=settings)
    if "compiled" in search.fixed:
        return config
    compiled = xla_pays(requests, epochs=config.epochs, layers=config.layers)
    return config.model_copy(update={"compiled": compiled})


def _settings(folder: SearchFolder, config: ResolvedConfig, space: Space) -> dict[str, int | float]:
    """Return the settings of the next trial."""
    return propose(folder.trials, space, seed=config.seed) if folder.trials else first_settings(config, space)


def _train(
    samples: Samples,
    config: ResolvedConfig,
    settings: dict[str, int | float],
    folder: SearchFolder,
    *,
    samples_path: Path,
    tensorboard: Path | None,
) -> Trial:
    """Train the next trial, or resume its training. Return its result."""
    earlier = folder.trials
    number = len(earlier) + 1
    run = folder.run(number)
    # If the search stopped before it recorded the trial, its run is complete.
    if not (run / HEAD).is_file() or has_progress(run):
        try:
            train(
                samples,
                config,
                run,
                samples_path=samples_path,
                force=True,
                resume=has_progress(run),
                tensorboard=tensorboard,
                stop=lambda gaucs: should_prune(earlier, gaucs),
            )
        except (TrainingError, tf.errors.ResourceExhaustedError) as error:
            log(f"trial {number}: {first_line(error)}")
            return Trial(number=number, settings=settings, state="failed", validation_gauc=[], train_seconds=0.0)
    head, _ = read_run_head(run)
    rows = [json.loads(line) for line in (run / HISTORY).read_text(encoding="utf-8").splitlines()]
    return Trial(
        number=number,
        settings=settings,
        state="pruned" if head.finished_early else "complete",
        validation_gauc=[row["validation_gauc"] for row in rows],
        train_seconds=head.train_seconds,
    )


def _publish(folder: SearchFolder, path: Path, *, force: bool) -> Tuned:
    """Write the run of the best trial and the list of all trials to `path`."""
    best = best_trial(folder.trials)
    if best is None:
        raise TrainingError(
            "tune: all trials have failed: correct the configuration (the lines above say why), then start again with "
            "--force"
        )
    with output_folder(path, force=force, kind="run") as output:
        shutil.copytree(folder.run(best.number), output, dirs_exist_ok=True)
        write_trials(folder.trials, output / TRIALS)
    return Tuned(load_run(path), folder.trials, best.number)


def _text(settings: dict[str, int | float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())


def _outcome(trials: list[Trial]) -> str:
    """Describe the result of the last trial."""
    trial, best = trials[-1], best_trial(trials)
    if trial.state == "failed":
        return "failed"
    said = ", best so far" if trial == best else ", pruned" if trial.state == "pruned" else ""
    epochs = len(trial.validation_gauc)
    return f"validation GAUC {trial.best:.4f}{said}; {epochs} epoch{'s' * (epochs > 1)}, {trial.train_seconds:.0f} s"
