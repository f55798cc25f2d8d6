"""The configuration of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgerec.core.documents import first_fault, read_toml
from edgerec.core.errors import ConfigurationError
from edgerec.rankers.registry import find_model


class TrainConfig(BaseModel):
    """Settings of `edgerec train`; where the paper states one, it is the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = "crban"
    units: Annotated[int, Field(ge=1, le=256)] = 32
    """Width of every recurrent layer, of the attention and of the hidden layer."""
    layers: Annotated[int, Field(ge=1, le=8)] = 3
    """Depth of every recurrent stack."""
    gain: Annotated[float, Field(gt=0, le=10)] = 2.0
    """How large weights begin; see `GruStack`. Less finds coarse structure first, more finds fine structure sooner."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 512
    learning_rate: Annotated[float, Field(gt=0)] = 0.005
    """Of Adam."""
    decay_epochs: Annotated[int, Field(ge=0)] = 0
    """The learning rate falls to a tenth over so many epochs, by a cosine, and stays there; 0: constant."""
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    """Gradients are scaled down to this global norm: recurrent stacks of 100 steps sometimes burst."""
    listwise: Annotated[float, Field(ge=0, le=100)] | None = None
    """Weight of the listwise softmax loss beside cross-entropy; left out, the model's own (`rankers/registry.py`)."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share that a running average of the weights keeps at each step, which is then validated and kept. 0: none."""
    unknown_rate: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of identities hidden in training, which trains the unknown row; more where most of tomorrow's are new."""
    shuffle_candidates: bool = False
    """Draw each list's order anew in every epoch: for data whose order on offer says nothing."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    """At most so many."""
    patience: Annotated[int, Field(ge=1)] = 3
    """Stop after so many epochs without a better validation GAUC."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    one_per_page: bool = True
    """An epoch reads one request of each page, drawn anew: requests of one page share labels. False: it reads all."""
    together: Annotated[int, Field(ge=1, le=65536)] = 8
    """Up to so many requests of a user stand in a batch together and share what is computed of the user's behaviours;
    more is faster, fewer mixes better."""
    compiled: bool = True
    """Recurrences and attention by XLA, compiled for each shape of batch: pays from a few thousand requests on."""

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            find_model(name)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return name

    @property
    def listwise_weight(self) -> float:
        return find_model(self.model).listwise if self.listwise is None else self.listwise


def load_config(path: Path | None, overrides: dict[str, Any]) -> TrainConfig:
    """Read a TOML file (or none), put `overrides` over it, and check.

    Raises:
        ConfigurationError: no such file, no TOML, an unknown key or a value out of range.
    """
    settings: dict[str, Any] = {}
    where = "options"
    if path is not None:
        where = f"{path} and options"
        settings = read_toml(path)
    given = {key: value for key, value in overrides.items() if value is not None}
    own = model_tables(settings, where=where)
    name = given.get("model", settings.get("model", TrainConfig.model_fields["model"].default))
    return check_config({**settings, **own.get(str(name), {}), **given}, where=where)


def model_tables(settings: dict[str, Any], *, where: str) -> dict[str, dict[str, Any]]:
    """Take the tables ``[models.NAME]``, settings of single models, out of `settings`.

    Raises:
        ConfigurationError: there is no such model, or it has no table.
    """
    own = settings.pop("models", {})
    if not isinstance(own, dict) or not all(isinstance(table, dict) for table in own.values()):
        raise ConfigurationError(
            f"configuration {where}: [models] should hold a table of settings for each model named"
        )
    fixed = [f"{name}.{key}" for name, table in own.items() for key in ("model", "seed") if key in table]
    if fixed:
        raise ConfigurationError(f"configuration {where}: models.{fixed[0]} is not for single models: leave it out")
    for name in own:
        try:
            find_model(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"configuration {where}: {error}") from None
    return own


def check_config(settings: dict[str, Any], *, where: str) -> TrainConfig:
    """The configuration of `settings`; `where` they stand is named in errors.

    Raises:
        ConfigurationError: an unknown key or a value out of range.
    """
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigurationError(f"configuration {where}: {first_fault(error)}") from None
