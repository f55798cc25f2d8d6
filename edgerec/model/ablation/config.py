"""The configuration of an ablation. It has the settings of a training, and different settings for some models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerec.core.documents import read_toml
from edgerec.core.errors import ConfigurationError
from edgerec.model.config import TrainConfig, check_config, model_tables
from edgerec.rankers.registry import MODELS, find_model, model_names

TREES = "lightgbm"
"""Name of the baseline: gradient-boosted trees on the inputs of `crban_plus`."""


@dataclass(frozen=True)
class AblationConfig:
    """The models to train, their settings, and the seeds.

    Attributes:
        configs: the settings of each model, in the order of Table 2. Their seed is not used.
        seeds: each model is trained once with each seed.
        trees: whether the table includes LightGBM.
    """

    configs: Mapping[str, TrainConfig]
    seeds: tuple[int, ...]
    trees: bool = False

    def document(self) -> dict[str, Any]:
        """Return the configuration as JSON."""
        configs = {name: config.model_dump(mode="json") for name, config in self.configs.items()}
        return {"configs": configs, "seeds": list(self.seeds), "trees": self.trees}


def load_ablation(
    path: Path | None,
    *,
    models: Sequence[str] | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    trees: bool = False,
) -> AblationConfig:
    """Read a TOML file with the settings of a training and, in tables ``[models.NAME]``, those of single models.

    Args:
        path: path of the file; None uses the defaults.
        models: names of the models to train, at least one; default: all. DLCM is always added, because the others are
            compared to it.
        seeds: number of seeds. They are 1, 2, ..., `seeds`.
        epochs: maximum number of epochs of every model; default: that of the file.
        trees: whether the table includes LightGBM.

    Raises:
        ConfigurationError: the file does not exist or is not TOML, a model or key is unknown, or a value is out of
            range.
    """
    settings = {} if path is None else read_toml(path)
    where = "of the defaults" if path is None else str(path)
    own = model_tables(settings, where=where)
    if models is not None and not any(models):
        raise ConfigurationError(
            "ablate: --models names no model: give names such as dlcm,crban, or leave it out to train those of Table 2"
        )
    for name in models or ():
        try:
            find_model(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"ablate: {error}") from None
    if "model" in settings or "seed" in settings:
        raise ConfigurationError(
            f"configuration {where}: an ablation sets `model` and `seed` itself: remove them from the configuration"
        )
    if seeds < 1:
        raise ConfigurationError(f"ablate: --seeds should be at least 1; received {seeds}")
    wanted = {*(MODELS if models is None else models), "dlcm"}
    chosen = [name for name in model_names() if name in wanted]
    given = {} if epochs is None else {"epochs": epochs}
    configs = {
        name: check_config({**settings, **own.get(name, {}), **given, "model": name}, where=f"{where}, {name}")
        for name in chosen
    }
    return AblationConfig(configs, tuple(range(1, seeds + 1)), trees)
