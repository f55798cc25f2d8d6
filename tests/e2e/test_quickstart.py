from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = """
from edgerec import quickstart
from edgerec.cli import main

quickstart.CONFIG = quickstart.CONFIG.model_copy(update={"units": 4, "layers": 1})
quickstart.LIMITS = {"candidates": 30, "exposures": 8, "page_views": 4}
main()
"""
"""A script that runs `edgerec` with a small quickstart model. `scripts/prove quickstart` runs the full size."""


def test_a_small_quickstart_writes_all_outputs(tmp_path: Path) -> None:
    """The world has few users and the training has one epoch, but all steps run and all files are written."""
    out = tmp_path / "quick"
    options = ["--out", str(out), "--users", "25", "--epochs", "1", "--json"]
    command = [sys.executable, "-c", SMALL, "quickstart", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {"kind": "quickstart", **document} == json.loads((out / "quickstart.json").read_text())
    assert document["schema"] == 1
    assert 0 < document["gauc"] < 1
    assert document["parity_max_abs"] < 1e-4
    assert set(document["latency"]) == {"hubsm_ie", "hubsm_ipv", "rerank"}
    for part, path in document["paths"].items():
        assert Path(path) == out / part
        assert Path(path).is_dir()
    # Other commands can read the outputs: the run names the final path of its samples.
    assert json.loads((out / "run" / "run.json").read_text())["samples"] == str(out / "samples")
    assert json.loads((out / "bundle" / "manifest.json").read_text())["version_id"] == document["version_id"]
    assert [path.name for path in tmp_path.iterdir()] == ["quick"]


def test_the_example_configuration_is_valid() -> None:
    from edgerec.model.config import load_config

    config = load_config(ROOT / "examples" / "ebnerd.toml", {})
    # docs/training.md states these values.
    assert (config.unknown_rate, config.gain) == (0.95, 0.75)
