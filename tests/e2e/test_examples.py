"""All specifications and configurations in examples/ can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.features.spec import load_spec
from edgerec.mixing.rules import load_rules
from edgerec.model.ablation.config import load_ablation
from edgerec.simulation.config import load_simulation_config

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WORLDS, RULES = {"second_world.toml", "personal_world.toml"}, {"mixed_feed.toml"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.json")), ids=lambda path: path.name)
def test_a_specification_is_valid(path: Path) -> None:
    assert load_spec(path).item


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_a_configuration_is_valid(path: Path) -> None:
    if path.name in WORLDS:
        assert load_simulation_config(path, {}).users
    elif path.name in RULES:
        assert load_rules(path).kinds
    else:
        assert load_ablation(path, models=None, seeds=1, trees=False).configs
