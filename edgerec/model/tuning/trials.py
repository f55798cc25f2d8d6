"""The trials of a search, and the file that stores them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgerec.core.atomic import json_lines, write_bytes
from edgerec.core.errors import FormatError
from edgerec.core.faults import first_fault
from edgerec.model.tuning.space import Space

TRIALS = "trials.jsonl"


class Trial(BaseModel):
    """One training of a search: one line of `trials.jsonl`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    number: Annotated[int, Field(ge=1)]
    settings: dict[str, int | float]
    """The settings that the search varies."""
    state: Literal["complete", "pruned", "failed"]
    """`pruned`: the training was stopped because its GAUC was below the median of earlier trials. `failed`: its loss
    was not finite, or it needed too much memory."""
    validation_gauc: list[float]
    """The validation GAUC after each epoch. It is empty if the trial failed."""
    train_seconds: float

    @model_validator(mode="after")
    def _has_epochs(self) -> Trial:
        if not self.validation_gauc and self.state != "failed":
            raise ValueError(f"validation_gauc should not be empty, because the trial is {self.state}")
        return self

    @property
    def best(self) -> float:
        """The best validation GAUC of all epochs."""
        return max(self.validation_gauc, default=-1.0)


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the best validation GAUC, or None. Of equal trials, return the first."""
    return max((trial for trial in trials if trial.state == "complete"), key=lambda trial: trial.best, default=None)


def write_trials(trials: Sequence[Trial], path: Path) -> None:
    """Write `trials` to the file `path`."""
    write_bytes(path, json_lines(trial.model_dump(mode="json") for trial in trials))


def read_trials(path: Path) -> list[Trial]:
    """Read the trials in the file `path`. If there is no such file, return an empty list.

    Raises:
        FormatError: the file cannot be read, or its lines are not trials with the numbers 1, 2, ...
    """
    if not path.exists():
        return []
    try:
        trials = [Trial.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if [trial.number for trial in trials] != list(range(1, len(trials) + 1)):
            raise ValueError("the numbers of the trials are not 1, 2, ...")
    except ValidationError as error:
        raise damaged(path, first_fault(error)) from None
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
    return trials


def check_settings(trials: Sequence[Trial], space: Space, path: Path) -> None:
    """Check that each trial, read from the file `path`, has the settings of `space` with possible values.

    Raises:
        FormatError: a setting is missing, unknown, or has another value.
    """
    for trial in trials:
        if trial.settings.keys() != space.keys():
            raise damaged(path, f"trial {trial.number} should have the settings {', '.join(space)}")
        for name, value in trial.settings.items():
            if value not in space[name]:
                raise damaged(path, f"trial {trial.number}: {name} should be {space[name]}; received {value}")


def damaged(path: Path, reason: Any) -> FormatError:
    """Return the error for a damaged file of trials."""
    return FormatError(f"tune: {path} is damaged ({reason}): start again with --force")
