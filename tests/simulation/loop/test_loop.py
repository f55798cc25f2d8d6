"""Rounds of A/B tests whose logs train the next model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.core.written import layout_of
from edgerec.model.config import TrainConfig
from edgerec.model.run_head import read_run_head
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.loop import run as run_module
from edgerec.simulation.loop.run import LoopSettings, run_loop
from tests.small_world import CONFIG, SEED

FURTHER = TrainConfig(learning_rate=0.001, epochs=1, batch_size=64, compiled=False)


def test_rounds_should_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="rounds should be at least 1"):
        LoopSettings(rounds=0)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_each_round_trains_the_next_model_on_its_own_logs(
    small_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is interrupted in its second round, and resumed."""
    world, out = LoopWorld(replace(CONFIG, pages=4), SEED), tmp_path / "loop"
    settings = LoopSettings(rounds=2, users=40, further=FURTHER, processes=1)
    start = small_world_path / "run"
    plain, tests = run_module.run_ab_test, []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        tests.append(named["first_user"])
        if len(tests) == 2:
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    monkeypatch.setattr(run_module, "run_ab_test", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_loop(world, out, settings, run=start)
    assert not out.exists()
    found = run_loop(world, out, settings, run=start, resume=True)
    first, second = found["rounds"]
    old, new = read_run_head(start)[0], read_run_head(out / "round-2" / "run")[0]
    layout = layout_of(out)

    # The first round was not tested again, and each round has users of its own.
    assert tests == [CONFIG.users + 1, CONFIG.users + 41, CONFIG.users + 41]
    assert (first["version_id"], second["version_id"]) == (old.version_id, new.version_id)
    assert second["trained_from"] == old.version_id
    assert second["trained_on"]["bucket"] == "latest of round 1"
    assert second["trained_on"]["requests"] > 50
    assert set(first["buckets"]) == {"cloud", "latest"}
    assert set(second["buckets"]) == {"cloud", "first", "latest"}
    assert second["days"] == [8, 11]
    assert set(second["against_first"]) == {"pv", "ctr", "click", "gmv"}
    assert Path(new.samples) == out / "round-1" / "samples"
    assert Path(new.samples).is_dir()
    assert layout is not None
    assert layout.foreign(out) is None
    assert json.loads((out / "loop.json").read_text())["rounds"] == json.loads(json.dumps(found["rounds"]))
    assert (out / "loop.html").exists()
