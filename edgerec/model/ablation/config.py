"""The configuration of an ablation: that of a training, with other settings for some models."""

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
"""The peer: gradient-boosted trees over the inputs of `crban_plus`."""


@dataclass(frozen=True)
class AblationConfig:
    """What is trained.

    Attributes:
        configs: of each model, in the order of Table 2; the seed in them counts for nothing.
        seeds: each model is trained with each.
        trees: whether the peer stands in the table.
    """

    configs: Mapping[str, TrainConfig]
    seeds: tuple[int, ...]
    trees: bool = False

    def document(self) -> dict[str, Any]:
        """As JSON."""
        configs = {name: config.model_dump(mode="json") for name, config in self.configs.items()}
        return {"configs": configs, "seeds": list(self.seeds), "trees": self.trees}


def load_ablation(
    path: Path | None, *, models: Sequence[str] | None = None, seeds: int = 3, trees: bool = False
) -> AblationConfig:
    """Read a TOML file with the settings of a training and, in tables ``[models.NAME]``, those of single models.

    Args:
        path: of the file; None is the defaults.
        models: which of them; default: all. DLCM is always among them: the others are held against it.
        seeds: 1 to so many.
        trees: whether the peer stands in the table.

    Raises:
        ConfigurationError: no such file, no TOML, an unknown model or key, or a value out of range.
    """
    settings = {} if path is None else read_toml(path)
    where = "of the defaults" if path is None else str(path)
    own = model_tables(settings, where=where)
    for name in models or ():
        try:
            find_model(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"ablate: {error}") from None
    if "model" in settings or "seed" in settings:
        raise ConfigurationError(
            f"configuration {where}: an ablation chooses `model` and `seed` itself: leave them out"
        )
    if seeds < 1:
        raise ConfigurationError(f"ablate: --seeds should be at least 1; received {seeds}")
    wanted = {*(models or MODELS), "dlcm"}
    chosen = [name for name in model_names() if name in wanted]
    configs = {
        name: check_config({**settings, **own.get(name, {}), "model": name}, where=f"{where}, {name}")
        for name in chosen
    }
    return AblationConfig(configs, tuple(range(1, seeds + 1)), trees)
