from __future__ import annotations

import pytest
from click.testing import CliRunner

from edgerec import quickstart
from edgerec.cli import cli
from edgerec.model.config import TrainConfig
from edgerec.rankers.registry import MODELS
from edgerec.simulation.config import SimulationConfig


def help_of(command: str) -> str:
    """Return the help of a command on one line."""
    return " ".join(CliRunner().invoke(cli, [*command.split(), "--help"]).output.split())


@pytest.mark.parametrize(
    ("command", "settings", "names"),
    [
        ("train", TrainConfig(), ("model", "seed")),
        ("simulate", SimulationConfig(), ("users", "items", "days")),
        ("quickstart", quickstart.CONFIG, ("epochs",)),
        ("quickstart", quickstart.WORLD, ("users",)),
    ],
)
def test_the_help_has_the_default_of_each_setting(command: str, settings: object, names: tuple[str, ...]) -> None:
    text = help_of(command)
    for name in names:
        own = text.split(f"--{name.replace('_', '-')} ", 1)[1].split(" --", 1)[0]
        default = own.split("Default: ", 1)[1]
        assert default.startswith((f"{getattr(settings, name)}.", f"{getattr(settings, name)},")), own


@pytest.mark.parametrize(
    ("command", "option"), [("train", "epochs"), ("train", "batch-size"), ("bench train", "batch-size")]
)
def test_the_help_says_which_settings_are_chosen_by_size(command: str, option: str) -> None:
    own = help_of(command).split(f"--{option} ", 1)[1].split(" --", 1)[0]
    assert "Default: by the size of the samples" in own


def test_the_help_of_train_lists_all_models() -> None:
    assert all(name in help_of("train") for name in MODELS)
