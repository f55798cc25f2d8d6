from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.simulation.config import BehaviourConfig, SimulationConfig
from edgerec.simulation.simulate import simulate


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
        ("candidates", 0),
        ("pages", 0),
        ("rerank_every", (0, 5)),
        ("rerank_every", (6, 5)),
        ("rerank_every", 5),
        ("rerank_every", (1, 2, 3)),
        ("recall_temperature", 0),
        ("cloud_noise", float("nan")),
        ("behaviour", None),
    ],
)
def test_a_bad_parameter_is_one_line_that_names_it_and_what_was_received(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^simulation: {name}.* should be .*; received [^\n]*$"):
        SimulationConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("bias", float("nan")), ("taste", -1), ("intent_shift", 1.5), ("leave", 0), ("slips", "often"), ("patience", [])],
)
def test_a_bad_behaviour_is_refused_by_its_full_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^simulation: behaviour\.{name} should be .*; received [^\n]*$"):
        BehaviourConfig(**{name: value})


def test_more_candidates_than_items_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"candidates \(50\) should be at most items \(49\): raise items"):
        SimulationConfig(items=49)


@pytest.mark.parametrize("seed", [-1, 1.5, None, True])
def test_a_bad_seed_is_refused(small: SimulationConfig, seed: Any) -> None:
    with pytest.raises(ConfigurationError, match="seed should be a whole number"):
        simulate(small, seed=seed)


@pytest.mark.parametrize("config", [SimulationConfig(), BehaviourConfig()], ids=lambda config: type(config).__name__)
def test_the_document_lists_every_parameter_with_its_default(config: SimulationConfig | BehaviourConfig) -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for field in fields(config):
        default = getattr(config, field.name)
        shown = "`BehaviourConfig()`" if field.name == "behaviour" else default
        assert f"| `{field.name}` | {shown} |" in text
