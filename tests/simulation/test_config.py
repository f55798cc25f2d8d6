from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.simulation.config import BehaviourConfig, CloudConfig, SimulationConfig, load_simulation_config
from edgerec.simulation.mixed.config import KINDS, CardConfig, MixedConfig
from edgerec.simulation.population import simulate


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", 0),
        ("users", -3),
        ("users", 2.0),
        ("users", True),
        ("users", "many"),
        ("users", None),
        ("items", 0),
        ("days", 0),
        ("days", 10**9),
        ("start_ms", -1),
        ("categories", 0),
        ("brands_per_category", 0),
        ("zipf", float("nan")),
        ("zipf", -0.1),
        ("sessions_per_user", 0.5),
        ("activity_spread", float("inf")),
        ("return_probability", 1.0),
        ("pages", 0),
        ("rerank_after", 0),
        ("behaviour", None),
        ("cloud", {}),
    ],
)
def test_the_error_for_a_bad_parameter_names_it_and_the_received_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^simulation: {name}.* should be .*; received [^\n]*$"):
        SimulationConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("bias", float("nan")), ("taste", -1), ("intent_shift", 1.5), ("leave", 0), ("slips", "often"), ("patience", [])],
)
def test_the_error_for_a_bad_behaviour_parameter_gives_its_full_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^simulation: behaviour\.{name} should be .*; received [^\n]*$"):
        BehaviourConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("page", 0), ("recall", -1), ("recall_temperature", 0), ("noise", float("nan"))]
)
def test_the_error_for_a_bad_cloud_parameter_gives_its_full_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^simulation: cloud\.{name} should be .*; received [^\n]*$"):
        CloudConfig(**{name: value})


def test_sizes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cloud.page \(50\) should be at most items \(49\): raise items"):
        SimulationConfig(items=49)
    with pytest.raises(ConfigurationError, match=r"cloud.recall should be at least cloud.page \(50\); received 49"):
        CloudConfig(recall=49)
    with pytest.raises(ConfigurationError, match=r"at most 100,000,000; received 1,000,000,000"):
        SimulationConfig(categories=10_000, brands_per_category=100_000)


@pytest.mark.parametrize("seed", [-1, 1.5, None, True])
def test_a_bad_seed_is_refused(small: SimulationConfig, seed: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="seed should be a whole number"):
        simulate(small, tmp_path / "logs", seed=seed)
    assert not list(tmp_path.iterdir())


def test_options_override_the_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text("users = 50\nitems = 70\n[behaviour]\nbias = -2\n[cloud]\npage = 30\n")
    config = load_simulation_config(file, {"users": 60, "days": None})
    expected = SimulationConfig(users=60, items=70, behaviour=BehaviourConfig(bias=-2), cloud=CloudConfig(page=30))
    assert config == expected
    assert load_simulation_config(None, {}) == SimulationConfig()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("user = 5", r"user is not a known parameter \(did you mean users\?\); the known parameters are: users, items"),
        ("[behaviour]\nbiass = 1", r"behaviour.biass is not a known parameter \(did you mean behaviour.bias\?\)"),
        ("page = 30", r"page is not a known parameter \(did you mean cloud.page\?\)"),
        ("cloud = 3", "cloud should be a table of parameters; received 3"),
        ("users = -1", "users should be a whole number"),
        ("users = ", "is not valid TOML"),
    ],
)
def test_a_bad_configuration_file_is_refused_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "world.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=fault):
        load_simulation_config(file, {})


@pytest.mark.parametrize(
    "config", [SimulationConfig(), BehaviourConfig(), CloudConfig(), MixedConfig()], ids=lambda c: type(c).__name__
)
def test_the_docs_list_every_parameter_with_its_default(config: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for field in fields(config):
        default = getattr(config, field.name)
        shown = f"`{type(default).__name__}()`" if field.name in ("behaviour", "cloud", *KINDS) else default
        assert f"| `{field.name}` | {shown} |" in text


def test_the_docs_list_the_parameters_of_each_kind_of_card() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for field in fields(CardConfig):
        values = " | ".join(str(getattr(card, field.name)) for card in MixedConfig().cards)
        assert f"| `{field.name}` | {values} |" in text
