from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerec import quickstart
from tests.command_line import document as output
from tests.command_line import edgerec_here

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("eager")
def test_a_small_quickstart_writes_all_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The world has few users and the training has one epoch, but all steps run and all files are written.

    `scripts/prove quickstart` runs the full size in a process of its own.
    """
    small = quickstart.CONFIG.model_copy(update={"units": 4, "layers": 1, "compiled": False})
    monkeypatch.setattr(quickstart, "CONFIG", small)
    monkeypatch.setattr(quickstart, "LIMITS", {"candidates": 30, "exposures": 8, "page_views": 4})
    monkeypatch.setattr(quickstart, "REPLAYED", 20)
    out = tmp_path / "quick"
    options = ["--out", str(out), "--users", "10", "--epochs", "1", "--json"]
    document = output(edgerec_here("quickstart", *options))
    assert {"kind": "quickstart", **document} == json.loads((out / "quickstart.json").read_text())
    assert document["schema"] == 1
    assert 0 < document["gauc"] < 1
    assert document["parity_max_abs"] < 1e-4
    replayed = document["replay"]
    assert replayed["requests"] == replayed["samples_equal"] >= 20
    assert set(document["latency"]) == {"hubsm_ie", "hubsm_ipv", "rerank"}
    for part, path in document["paths"].items():
        assert Path(path) == out / part
        assert Path(path).is_dir()
    # The run must name the final path of its samples, so that other commands find them.
    assert json.loads((out / "run" / "run.json").read_text())["samples"] == str(out / "samples")
    assert json.loads((out / "bundle" / "manifest.json").read_text())["version_id"] == document["version_id"]
    assert [path.name for path in tmp_path.iterdir()] == ["quick"]


def test_the_example_configuration_is_valid() -> None:
    from edgerec.model.config import load_config

    config = load_config(ROOT / "examples" / "ebnerd.toml", {})
    # docs/training.md states these values.
    assert (config.unknown_rate, config.gain) == (0.95, 0.75)
