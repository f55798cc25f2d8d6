"""The choice of settings and the pruning of trials, by Optuna.

The trials are stored in a file of their own (`trials.py`). Each call makes a new study of Optuna in memory from them.
So a resumed search makes the same choices as an uninterrupted one, and nothing of Optuna is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from edgerec.model.tuning.space import Choices, Range, Space
from edgerec.model.tuning.trials import Trial

RANDOM_TRIALS = 6
"""The first trials have random settings. With fewer trials TPE knows too little."""
UNPRUNED_TRIALS = 3
"""No trial is pruned before this number of trials is complete."""
FIRST_PRUNED_EPOCH = 2
"""The first epoch after which a trial can be pruned."""


def propose(trials: Sequence[Trial], space: Space, *, seed: int) -> dict[str, int | float]:
    """Return the settings of the next trial.

    Source: the tree-structured Parzen estimator, Bergstra et al., *Algorithms for hyper-parameter optimization*, 2011.

    Args:
        trials: the earlier trials.
        space: the settings to choose, and their values.
        seed: seed of the search.

    Returns:
        Settings that no earlier trial has, if 20 attempts find any.
    """
    settings: dict[str, int | float] = {}
    for attempt in range(20):
        numbers = np.random.SeedSequence([seed, len(trials), attempt]).generate_state(1)
        sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=int(numbers[0]))
        drawn = _study(trials, space, sampler=sampler).ask(dict(_distributions(space))).params
        settings = {name: _setting(drawn[name], values) for name, values in space.items()}
        if all(trial.settings != settings for trial in trials):
            break
    return settings


def should_prune(trials: Sequence[Trial], gaucs: Sequence[float]) -> bool:
    """Return whether to stop a trial: its best GAUC is below the median of the complete trials at the same epoch.

    Args:
        trials: the earlier trials.
        gaucs: the validation GAUC after each epoch of the trial.
    """
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=FIRST_PRUNED_EPOCH)
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=_by_epoch(gaucs))
    return bool(pruner.prune(_study(trials, {}), trial))


def _study(
    trials: Sequence[Trial], space: Space, *, sampler: optuna.samplers.BaseSampler | None = None
) -> optuna.Study:
    # Without this, Optuna logs a line for each study.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = _distributions(space)
    for trial in trials:
        complete = trial.state == "complete"
        study.add_trial(
            create_trial(
                # TPE takes a pruned trial without values as the worst one, so it avoids the settings of failed trials.
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=trial.best if complete else None,
                params={name: _parameter(trial.settings[name], values) for name, values in space.items()},
                distributions=distributions,
                intermediate_values=_by_epoch(trial.validation_gauc),
            )
        )
    return study


def _by_epoch(gaucs: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(gaucs, start=1))


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of each parameter of Optuna. The parameter of `Choices` is the index of the value."""
    return {
        name: FloatDistribution(values.low, values.high, log=True)
        if isinstance(values, Range)
        else IntDistribution(0, len(values.values) - 1)
        for name, values in space.items()
    }


def _parameter(setting: float, values: Range | Choices) -> int | float:
    return setting if isinstance(values, Range) else values.values.index(setting)


def _setting(parameter: int | float, values: Range | Choices) -> int | float:
    if isinstance(values, Choices):
        return values.values[int(parameter)]
    # Three digits are precise enough, and the table of the trials is easier to read.
    return min(max(float(f"{parameter:.3g}"), values.low), values.high)
