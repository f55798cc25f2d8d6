"""The cells of an ablation. A cell is a model that was trained with one seed, and its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerec.core.arrays import read_members, save_members
from edgerec.data.fitted_run import HEAD
from edgerec.data.samples import Samples
from edgerec.model.config import TrainConfig
from edgerec.model.evaluation import scored_batches, scorer
from edgerec.model.progress import has_progress
from edgerec.model.runs import load_run
from edgerec.model.tally import Tally, UserSums
from edgerec.model.training import train


@dataclass(frozen=True)
class Cell:
    """A model that was trained with one seed, and its evaluation.

    Attributes:
        model: name of the model.
        seed: seed of the training.
        parameters: number of weights (for trees: number of leaves).
        train_seconds: duration of the training.
        figures: the metrics from `Tally.figures`.
        sums: the sums of each user, from which GAUC is computed.
    """

    model: str
    seed: int
    parameters: int
    train_seconds: float
    figures: dict[str, Any]
    sums: UserSums

    def note(self) -> dict[str, Any]:
        """Return all attributes except `sums` as JSON."""
        return {
            "model": self.model,
            "seed": self.seed,
            "parameters": self.parameters,
            "train_seconds": self.train_seconds,
            "figures": self.figures,
        }


def train_cell(samples: Samples, config: TrainConfig, run: Path, *, split: str) -> Cell:
    """Train a model, or resume its training, and evaluate it. The run is written to the folder `run`.

    Raises:
        EdgeRecError: as `train` and `Tally.figures`.
    """
    if (run / HEAD).is_file() and not has_progress(run):
        # The training was complete, and the ablation stopped during the evaluation.
        trained = load_run(run)
    else:
        trained = train(samples, config, run, resume=has_progress(run), force=True)
    tally = Tally()
    name = f"{config.model}, seed {config.seed}: evaluate"
    for scored in scored_batches(scorer(trained.model), samples, split, what=name):
        tally.add(scored)
    return Cell(
        model=config.model,
        seed=config.seed,
        parameters=trained.head.parameters,
        train_seconds=trained.head.train_seconds,
        figures=tally.figures(seed=config.seed),
        sums=tally.user_sums(),
    )


def save_sums(sums: UserSums, path: Path) -> None:
    """Write `sums` to the npz file `path`."""
    save_members(path, vars(sums), what="ablation")


def load_sums(path: Path) -> UserSums:
    """Read the npz file `path`.

    Raises:
        FormatError: the file cannot be read, or has other arrays.
    """
    names = ["user", "above", "impressions", "requests"]
    return UserSums(**read_members(path, names, what="sums of users", advice="start again with --force"))
