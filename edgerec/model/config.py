"""The configuration of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from edgerec.core.documents import read_toml
from edgerec.core.errors import ConfigurationError, EdgeRecError
from edgerec.core.faults import CheckedModel, first_fault
from edgerec.rankers.registry import find_model


class TrainConfig(CheckedModel):
    """The settings of `edgerec train`.

    `edgerec.model.defaults` chooses a setting that is None by the size of the samples, except `listwise`. The other
    defaults are the values of the paper where it gives them.
    """

    error_class: ClassVar[type[EdgeRecError]] = ConfigurationError
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    model: str = "crban"
    units: Annotated[int, Field(ge=1, le=256)] = 32
    """Width of every recurrent layer, of the attention and of the hidden layer."""
    layers: Annotated[int, Field(ge=1, le=8)] | None = None
    """Depth of every recurrent stack."""
    gain: Annotated[float, Field(gt=0, le=10)] | None = None
    """Scale of the initial weights, see `GruStack`. With a small gain the model first learns coarse structure, with a
    large gain it learns fine structure sooner."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Number of requests in a training step."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.005
    """Learning rate of Adam."""
    decay_epochs: Annotated[int, Field(ge=0)] | None = None
    """The learning rate falls to a tenth over this number of epochs, along a cosine, and then stays constant. With 0 it
    is constant from the start."""
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    """Largest global norm of the gradients; larger gradients are scaled down. Gradients of recurrent stacks over 100
    steps sometimes explode."""
    listwise: Annotated[float, Field(ge=0, le=100)] | None = None
    """Weight of the listwise softmax loss, which is added to the cross-entropy. The default depends on the model
    (`rankers/registry.py`)."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of a running average of the weights. If above 0, the average is validated and saved. 0: no average."""
    unknown_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the IDs that are replaced by the unknown ID in training, so that its embedding row is trained, too. Use
    a larger share if most items of the next day are new."""
    shuffle_candidates: bool = False
    """Shuffle the candidates of each list in every epoch. Use it if the served order carries no information."""
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Maximum number of epochs."""
    patience: Annotated[int, Field(ge=1)] = 3
    """Stop after this number of epochs without a better validation GAUC, but not before `decay_epochs`."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of all random numbers of the training."""
    one_per_page: bool = True
    """Each epoch reads one random request of each page, because the requests of one page share labels. If false, it
    reads all requests."""
    together: Annotated[int, Field(ge=1, le=65536)] = 8
    """Maximum number of requests of one user in a batch. They share the computation over the user's behaviours. With
    a larger number training is faster, with a smaller number a batch has more different users."""
    compiled: bool | Literal["auto"] = "auto"
    """Whether XLA compiles recurrences and attention for each shape of batch. "auto": only if the training is so long
    that this takes less time than it saves."""

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            find_model(name)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return name

    @field_validator("compiled", mode="before")
    @classmethod
    def _true_false_or_auto(cls, value: object) -> object:
        if not isinstance(value, bool) and value != "auto":
            raise ValueError('should be true, false or "auto"')
        return value

    @property
    def listwise_weight(self) -> float:
        return find_model(self.model).listwise if self.listwise is None else self.listwise


class ResolvedConfig(TrainConfig):
    """The settings of a training on certain samples: none is left to be chosen.

    Its defaults are those of runs that do not state a setting, because they are older than it.
    """

    layers: Annotated[int, Field(ge=1, le=8)] = 3
    gain: Annotated[float, Field(gt=0, le=10)] = 2.0
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 512
    decay_epochs: Annotated[int, Field(ge=0)] = 0
    unknown_rate: Annotated[float, Field(ge=0, lt=1)] = 0.05
    epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    compiled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _without_crosses(cls, values: Any) -> Any:
        """Ignore ``crosses = 0``. Early runs state this setting, which no longer exists."""
        if isinstance(values, dict) and values.get("crosses") == 0:
            return {name: value for name, value in values.items() if name != "crosses"}
        return values


def load_config(path: Path | None, overrides: dict[str, Any], *, model: str = "crban") -> TrainConfig:
    """Read the settings in a TOML file, replace some of them by `overrides`, and check the result.

    If `path` is None, the settings start from the defaults. Overrides that are None are ignored. `model` is the model
    whose table ``[models.NAME]`` is read if neither the file nor the overrides name a model.

    Raises:
        ConfigurationError: the file does not exist or is not TOML, a key is unknown, or a value is out of range.
    """
    settings: dict[str, Any] = {}
    where = "options"
    if path is not None:
        where = f"{path} and options"
        settings = read_toml(path)
    given = {key: value for key, value in overrides.items() if value is not None}
    own = model_tables(settings, where=where)
    name = given.get("model", settings.get("model", model))
    return check_config({**settings, **own.get(str(name), {}), **given}, where=where)


def model_tables(settings: dict[str, Any], *, where: str) -> dict[str, dict[str, Any]]:
    """Remove the tables ``[models.NAME]`` from `settings` and return them by name. Each has settings of one model.

    Raises:
        ConfigurationError: there is no model with such a name, its settings are not a table, they contain `model` or
            `seed`, or the tables are called ``[model.NAME]``.
    """
    if isinstance(settings.get("model"), dict):
        name = next(iter(settings["model"]), "NAME")
        raise ConfigurationError(
            f"configuration {where}: `model` should be the name of a model; received the table [model.{name}]: write "
            f"[models.{name}] for settings of one model"
        )
    own = settings.pop("models", {})
    if not isinstance(own, dict) or not all(isinstance(table, dict) for table in own.values()):
        raise ConfigurationError(
            f"configuration {where}: [models] should hold a table of settings for each model, such as [models.dlcm]"
        )
    fixed = [(name, key) for name, table in own.items() for key in ("model", "seed") if key in table]
    if fixed:
        raise ConfigurationError(
            f"configuration {where}: [models.{fixed[0][0]}] should not contain `{fixed[0][1]}`: remove this setting"
        )
    for name in own:
        try:
            find_model(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"configuration {where}: {error}") from None
    return own


def check_config(settings: dict[str, Any], *, where: str) -> TrainConfig:
    """Check `settings` and return them as a configuration. Error messages contain `where`, the source of the settings.

    Raises:
        ConfigurationError: a key is unknown, or a value is out of range.
    """
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigurationError(
            f'configuration {where}: {first_fault(error)}: correct it (docs/training.md, "Configuration")'
        ) from None
